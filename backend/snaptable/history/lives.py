"""The lives of rows: from an insertion to a deletion, in the commits that are kept; and who went with whom.

A key may be given to a row again. So what a purge takes along is not all that a key ever stood for, but the lives that
referred, at their end, to a life that is purged. A migration that gave a row another table or key ended one life of it
and began another: the two go together.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from snaptable.changes.records import CommitRecord, Delete, Insert, PurgedChange, Replace
from snaptable.history.rewind import former_row, later_json
from snaptable.migrations.plan import Place, SchemaMigrations
from snaptable.migrations.raw import RawDatabase
from snaptable.migrations.shape import Reference, Shape


@dataclass
class Life:
    """One life of a row.

    Attributes:
        place: where it is.
        first: the commit that inserted it, or the first that is kept.
        last: the commit that deleted it, or the last that changed it.
        over: whether it was deleted.
        row: its last content that is known, as JSON; None if none is.
        touched: whether some of its changes are purged already.
        whole: whether all of them are.
        former: the life of the same row before a migration that gave it another place.
    """

    place: Place
    first: int
    last: int
    over: bool = False
    row: bytes | None = None
    touched: bool = False
    whole: bool = True
    former: "Life | None" = None


class Lives:
    """The lives of rows; O(changes) to collect."""

    def __init__(self, changes: SchemaMigrations, root: str, *, cascade: bool) -> None:
        """Collect those of a table, and of the tables whose rows go with its rows; under former names too.

        Args:
            changes: the application's migrations.
            root: the table.
            cascade: whether rows that refer to its rows are asked for.
        """
        self._changes = changes
        self.tables = changes.going_with(root) if cascade else changes.former_names(root)
        self._lives: dict[Place, list[Life]] = defaultdict(list)
        self._migrations: list[tuple[int, str]] = []
        """The migrations that the commits hold, in order, each with the commit that applied it."""
        self._references: dict[tuple[str, ...], dict[str, tuple[Reference, ...]]] = {}
        """The foreign keys by table, before some migrations."""

    def add(self, record: CommitRecord) -> None:
        """Take the next commit."""
        ended: dict[Place, Life] = {}
        for change in record.changes:
            if change.table not in self.tables:
                continue
            place = (change.table, str(change.key))
            lives = self._lives[place]
            begins = isinstance(change, Insert) or (isinstance(change, PurgedChange) and change.kind == "insert")
            if begins or not lives or lives[-1].over:
                lives.append(Life(place, record.sequence, record.sequence))
            life = lives[-1]
            life.last = record.sequence
            if isinstance(change, PurgedChange):
                life.touched, life.over = True, change.kind == "delete"
            else:
                life.over, life.whole = isinstance(change, Delete), False
                life.row = (change.before if isinstance(change, Delete) else later_json(change)) or life.row
            if life.over:
                ended[place] = life
        if record.named_migrations:
            self._migrations += [(record.sequence, name) for name in record.named_migrations]
            self._join(record, ended)

    def _join(self, record: CommitRecord, ended: Mapping[Place, Life]) -> None:
        """Join the lives of rows that a migration moved."""
        if not self._changes.knows(record.named_migrations):
            return
        before: RawDatabase = defaultdict(dict)
        for change in record.changes:
            if isinstance(change, Delete | Replace):
                before[change.table][str(change.key)] = former_row(change) or {}
        for former, place in self._changes.moves(record.named_migrations, before).items():
            lives = self._lives.get(place, [])
            if lives and lives[-1].first == record.sequence and former in ended:
                lives[-1].former = ended[former]

    def references(self, table: str, sequence: int, *, after: bool) -> tuple[Reference, ...]:
        """Return the foreign keys that a table had before or after a commit, by its names of then.

        None if the code doesn't have a migration any more that was applied since.
        """
        since = sequence + 1 if after else sequence
        names = tuple(name for applied, name in self._migrations if applied >= since)
        if names not in self._references:
            shape = self._changes.shapes_before(names)[0] if self._changes.knows(names) else Shape()
            self._references[names] = {name: shape.references_of(name) for name in shape.keys}
        return self._references[names].get(table, ())

    def name_today(self, table: str) -> str:
        """Return what a table is called today."""
        names = tuple(name for _, name in self._migrations)
        return self._changes.name_today(table, names) if self._changes.knows(names) else table

    def going_with(self, root: Place, was_begun: Callable[[Life, bool], bool]) -> dict[Place, list[Life]]:
        """Return the lives that are purged with all of a place's, by place.

        Args:
            root: the place.
            was_begun: called with a life, and whether it is the last one at its place; whether a purge of it was begun
                before, and kept from its end.
        """
        dependents = self._dependents()
        pending = [*self._lives.get(root, ()), *self._begun(was_begun)]
        going: dict[Place, list[Life]] = {root: []}
        while pending:
            life = pending.pop()
            known = going.setdefault(life.place, [])
            if not any(each is life for each in known):
                known.append(life)
                pending += [] if life.former is None else [life.former]
                pending += [each for each in dependents.get(life.place, ()) if life.first <= each.last <= life.last]
        return going

    def former_places(self, place: Place) -> list[Place]:
        """Return where a place's rows were before migrations moved them, that place first."""
        places, pending = dict[Place, None](), [place]
        while pending:
            here = pending.pop(0)
            places[here] = None
            pending += [life.former.place for life in self._lives.get(here, ()) if life.former is not None]
        return list(places)

    def places(self) -> Iterable[Place]:
        """Return where there are lives."""
        return self._lives.keys()

    def _begun(self, was_begun: Callable[[Life, bool], bool]) -> Iterable[Life]:
        for lives in self._lives.values():
            yield from (life for life in lives if was_begun(life, life is lives[-1]))

    def _dependents(self) -> dict[Place, list[Life]]:
        """Return the lives that would go with one, by its place, as far as the content at their end tells."""
        dependents: dict[Place, list[Life]] = defaultdict(list)
        for (table, _), lives in self._lives.items():
            for life in lives:
                row = json.loads(life.row) if life.row is not None else {}
                for reference in self.references(table, life.last, after=not life.over):
                    if reference.cascades and reference.target in self.tables:
                        dependents[reference.target, str(row.get(reference.field))].append(life)
        return dependents
