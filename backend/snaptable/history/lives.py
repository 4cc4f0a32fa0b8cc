"""The lives of rows: from an insertion to a deletion, in the commits that are kept; and who went with whom.

A key may be given to a row again. So what a purge takes along is not all that a key ever stood for, but the lives that
referred, at their end, to a life that is purged.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from snaptable.changes import CommitRecord, Delete, Insert, PurgedChange
from snaptable.history.rewind import later_json
from snaptable.schema import ReferenceSchema, TableSchema

Place = tuple[str, str]
"""A table's name and the text of a key."""


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
    """

    place: Place
    first: int
    last: int
    over: bool = False
    row: bytes | None = None
    touched: bool = False
    whole: bool = True


class Lives:
    """The lives of the rows of some tables; O(changes) to collect."""

    def __init__(self, schemas: Mapping[str, TableSchema], root: str, *, cascade: bool) -> None:
        """Collect those of a table, and of the tables whose rows go with its rows."""
        self._schemas = schemas
        self.tables = _family(schemas, root) if cascade else {root}
        self._lives: dict[Place, list[Life]] = defaultdict(list)

    def add(self, record: CommitRecord) -> None:
        """Take the next commit."""
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
                pending += [each for each in dependents.get(life.place, ()) if life.first <= each.last <= life.last]
        return going

    def places(self) -> Iterable[Place]:
        """Return where there are lives."""
        return self._lives.keys()

    def _begun(self, was_begun: Callable[[Life, bool], bool]) -> Iterable[Life]:
        for lives in self._lives.values():
            yield from (life for life in lives if was_begun(life, life is lives[-1]))

    def _dependents(self) -> dict[Place, list[Life]]:
        """Return the lives that would go with one, by its place, as far as the content at their end tells."""
        found: dict[Place, list[Life]] = defaultdict(list)
        for (table, _), lives in self._lives.items():
            references = [each for each in self._references(table) if each.target in self.tables]
            for life in lives if references else ():
                row = json.loads(life.row) if life.row is not None else {}
                for reference in references:
                    found[reference.target, str(row.get(reference.field))].append(life)
        return found

    def _references(self, table: str) -> Iterable[ReferenceSchema]:
        schema = self._schemas.get(table)
        return [] if schema is None else [each for each in schema.references if each.on_delete == "cascade"]


def _family(schemas: Mapping[str, TableSchema], root: str) -> set[str]:
    """Return a table and all whose rows go with its rows."""
    family, pending = {root}, [root]
    while pending:
        referring = {each.table for each in schemas[pending.pop()].referenced_by if each.on_delete == "cascade"}
        pending += referring - family
        family |= referring
    return family
