"""A purge: what a row was, erased from every commit, with the rows that went with it, and a receipt.

The history keeps that something happened: who changed which rows when. The protocol, step by step, and what a crash
leaves between any two, is described in `storage/journal/rewriting`.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from uuid import UUID

from snaptable.changes.attribution import Attribution, attribution, current_attribution
from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Insert, Key, PurgedChange, Replace, key_digest
from snaptable.changes.retention import FoundText
from snaptable.contract import Engine
from snaptable.history.lives import Life, Lives
from snaptable.history.records import typed_key
from snaptable.migrations.plan import Place, SchemaMigrations
from snaptable.schema.tables import TableSchema
from snaptable.values.row_lines import key_json, row_json

LEAST_LENGTH = 4
"""Characters of the shortest value that is looked for: shorter ones stand everywhere."""
JOURNAL = "db_journal/"


@dataclass(frozen=True)
class Remainder:
    """A place where a value of a purged row still stands; it was not the purge's to change.

    Attributes:
        file: the file's path below the store's directory.
        line: the line, counted from 1; None for a file that is packed or encrypted, and was not searched.
        what: which value it is: "users.email", or "the key"; "not searched" for such a file.
    """

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}" if self.line is None else f"{self.file}, line {self.line}: {self.what}"


@dataclass(frozen=True)
class Purged:
    """The receipt of a purge.

    Attributes:
        rows: how many keys were purged, by table.
        frames: how many frames of the journal were rewritten; of "memory:", commits.
        left: where values of the purged rows still stand, 1,000 places at the most. Not only copies are among them: a
            value may belong to another row as well.
        commit: the commit that records the purge; None if it was recorded before, and nothing was left to do.
    """

    rows: Mapping[str, int]
    frames: int
    left: tuple[Remainder, ...]
    commit: int | None

    def __str__(self) -> str:
        left = "nothing is left of their values" if not self.left else f"{len(self.left)} places are left:"
        return "\n  ".join([f"{_described(self.rows)}, {self.frames} commits rewritten; {left}", *map(str, self.left)])


def _described(rows: Mapping[str, int]) -> str:
    total = sum(rows.values())
    counts = ", ".join(f"{count} of {table}" for table, count in rows.items())
    return f"purged {total} row{'s' * (total != 1)} ({counts})"


class Purge:
    """One purge of one row."""

    def __init__(
        self,
        engine: Engine,
        schemas: Mapping[str, TableSchema],
        changes: SchemaMigrations,
        *,
        cascade: bool,
        keys: bool,
    ) -> None:
        self._engine, self._schemas, self._changes = engine, schemas, changes
        self._cascade, self._keys = cascade, keys
        self._lives: Lives
        self._store = engine.commits.store
        self._going: dict[Place, list[Life]] = {}
        self._values: dict[bytes, str] = {}
        """What the purged rows held, as JSON spells it, and which field it was."""
        self._root: Place = ("", "")
        self._own: list[Place] = []
        """Where the row was: at the root, and before migrations moved it."""

    def run(self, table: str, key: object) -> Purged:
        """Purge a row; see `History.purge`."""
        schema = self._schemas.get(table)
        if schema is None:
            raise ValueError(f"the database has no table {table!r}; it has {', '.join(self._schemas)}")
        self._engine.tables[table].get(key)  # raises InvalidKey
        self._root = (table, str(key))
        # 1. What there was, which also verifies every file of the journal before anything is changed.
        lives = self._lives = Lives(self._changes, table, cascade=self._cascade)
        source = self._engine.commits
        known = self._read(lives, source.first, source.sequence)
        # 2. The row, if it is there, is deleted with all that `on_delete` says: a commit like any.
        until = self._delete(table, key)
        self._read(lives, known, until)
        # 3. Which changes that is about.
        stand_ins = set(lives.places())
        self._going = lives.going_with(self._root, lambda life, last: self._was_begun(life, stand_ins, is_last=last))
        self._own = lives.former_places(self._root)
        # 4. Snapshot, journal, temporary files.
        frames = self._engine.rewrite_commits(until, self._kept)
        # 5. That it was done.
        commit = self._record(until, frames)
        # 6. What is left.
        return Purged(self._counts(), frames, tuple(self._left()), commit)

    def _read(self, lives: Lives, after: int, until: int) -> int:
        for timed in self._engine.commits.oldest_first(after, until):
            lives.add(timed.record)
        return until

    def _delete(self, table: str, key: object) -> int:
        """Delete the row if it is there; return the last commit that may hold something of it."""
        engine = self._engine
        with engine.writing("deleted to be purged", ()) as number:
            if engine.tables[table].get(key) is not None:
                engine.tables[table].delete(key)
        return number.sequence or engine.commits.sequence

    def _was_begun(self, life: Life, places: Collection[Place], *, is_last: bool) -> bool:
        """Return whether a life's purge was begun before, and kept from its end: it is purged in part, or not recorded.

        Of one whose key goes too, the end of the life stands at another place.
        """
        table, key = life.place
        if life.touched:
            return not (life.whole and self._is_recorded(life.place))
        if life.over or (table, str(self._stand_in(life.place))) not in places:
            return False
        if table not in self._schemas:
            return True
        is_there = is_last and self._engine.row_json(table, typed_key(self._schemas[table], key)) is not None
        return not is_there

    def _is_recorded(self, place: Place) -> bool:
        """Return whether a purge of a key was done, and said so."""
        digests, kind = self._engine.erased.get(place[0], {}), self._key_type(place[0])
        stand_ins = (str(_stand_in(digest, kind)) for digest in digests)
        return key_digest(self._store, *place) in digests or place[1] in stand_ins

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for table, _ in sorted(self._going, key=lambda place: place[0] != self._root[0]):
            counts[table] = counts.get(table, 0) + 1
        return counts

    # ── what is kept of a commit ────────────────────────────────────────────────────────────────────────────────────

    def _kept(self, record: CommitRecord) -> CommitRecord:
        """Return what is kept of a commit; the commit itself, if that is all of it."""
        changes = tuple([self._kept_change(record.sequence, change) for change in record.changes])
        by = self._kept_attribution(record.attribution)
        is_same = by is record.attribution and all(
            one is other for one, other in zip(changes, record.changes, strict=True)
        )
        return record if is_same else replace(record, changes=changes, attribution=by)

    def _kept_change(self, sequence: int, change: ChangeRecord) -> ChangeRecord:
        place = (change.table, str(change.key))
        if not self._is_going(place, sequence):
            return self._without_references(sequence, change) if self._keys else change
        key = str(self._stand_in(place)) if self._keys else change.key
        if isinstance(change, PurgedChange):
            return change if key == change.key else replace(change, key=key)
        self._take_values(sequence, change)
        kind = "insert" if isinstance(change, Insert) else "delete" if isinstance(change, Delete) else "replace"
        return PurgedChange(change.table, key, kind=kind)  # type: ignore[arg-type]  # one of the three

    def _is_going(self, place: Place, sequence: int) -> bool:
        lives = self._going.get(place, ())
        return (place == self._root) or any(life.first <= sequence <= life.last for life in lives)

    def _kept_attribution(self, by: Attribution | None) -> Attribution | None:
        own = next((place for place in self._own if by is not None and by.actor == place[1]), None)
        return by if not self._keys or by is None or own is None else replace(by, actor=str(self._stand_in(own)))

    def _without_references(self, sequence: int, change: ChangeRecord) -> ChangeRecord:
        """Return a change whose references to purged keys are to what stands for them."""
        if isinstance(change, PurgedChange):
            return change

        def replaced(data: bytes, *, after: bool) -> bytes:
            """Return a row without its references to what was purged."""
            references = self._lives.references(change.table, sequence, after=after)
            row = json.loads(data) if references else {}
            for each in references:
                place = (each.target, str(row.get(each.field)))
                if row.get(each.field) is not None and self._is_going(place, sequence):
                    stand_in = self._stand_in(place)
                    row[each.field] = stand_in if isinstance(stand_in, int) else str(stand_in)
            return row_json(row) if references else data

        row = None if isinstance(change, Delete) else replaced(change.row, after=True)
        before = None if isinstance(change, Insert) or change.before is None else replaced(change.before, after=False)
        if row == getattr(change, "row", None) and before == getattr(change, "before", None):
            return change
        if isinstance(change, Insert):
            return replace(change, row=row or b"")
        return replace(change, before=before) if isinstance(change, Delete) else _replaced(change, row or b"", before)

    def _stand_in(self, place: Place) -> Key:
        """Return what stands for an erased key, of the type of the table's keys."""
        return _stand_in(key_digest(self._store, *place), self._key_type(place[0]))

    def _key_type(self, table: str) -> type:
        """Return the type of a table's keys; of one that is gone, and was not renamed, text."""
        schema = self._schemas.get(self._lives.name_today(table))
        return str if schema is None else schema.key_type

    # ── the record, and the receipt ─────────────────────────────────────────────────────────────────────────────────

    def _record(self, until: int, frames: int) -> int | None:
        """Record which keys were purged, unless that is recorded and nothing was left to do."""
        erased: dict[str, dict[str, int]] = {}
        for place, lives in self._going.items():
            last = until if place == self._root else max(life.last for life in lives)
            erased.setdefault(place[0], {})[key_digest(self._store, *place)] = last
        known = self._engine.erased
        if not frames and all(digest in known.get(table, {}) for table, keys in erased.items() for digest in keys):
            return None
        with self._unnamed(), self._engine.writing(_described(self._counts()), ()) as number:
            self._engine.take_note_of_erased(erased)
        return number.sequence

    def _unnamed(self) -> AbstractContextManager[None]:
        """Return a block in which commits are not attributed to a key that is erased."""
        by = current_attribution()
        kept = self._kept_attribution(by)
        return nullcontext() if kept is by or kept is None else attribution(actor=kept.actor)

    def _take_values(self, sequence: int, change: ChangeRecord) -> None:
        """Take what a row held: texts and numbers, of any depth, but keys and references."""
        key = str(change.key)
        for data, after in ((getattr(change, "row", None), True), (getattr(change, "before", None), False)):
            named = {each.field for each in self._lives.references(change.table, sequence, after=after)}
            for field, value in (json.loads(data) if data else {}).items():
                if field not in named and str(value) != key:
                    self._values.update(dict.fromkeys(_texts(value), f"{change.table}.{field}"))

    def _left(self) -> Iterator[Remainder]:
        """Yield where values, and keys, still stand; keys not in the journal, which keeps them, unless erased."""
        # A number stands for other things as well.
        own = {b'"%b"' % key_json(key)[1:-1] for _, key in self._own if not key.lstrip("-").isdecimal()}
        texts = self._values | dict.fromkeys(own, "the key")
        for hit in self._engine.find_texts(texts.keys()):
            if hit.text not in own or self._keys or not hit.file.startswith(JOURNAL):
                yield _remainder(hit, texts)


def _stand_in(digest: str, kind: type) -> Key:
    if kind is int:
        return -1 - int(digest[:8], 16)  # no numbered key is below 0
    return UUID(digest) if kind is UUID else digest[:8]


def _replaced(change: Replace, row: bytes, before: bytes | None) -> Replace:
    return replace(change, row=row, before=before)


def _remainder(hit: FoundText, texts: Mapping[bytes, str]) -> Remainder:
    return Remainder(hit.file, hit.line, "not searched" if hit.line is None else texts[hit.text])


def _texts(value: object) -> Iterator[bytes]:
    """Yield the texts and numbers of a JSON value that are long enough to be looked for, as JSON spells them."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str) and len(value) >= LEAST_LENGTH:
        yield key_json(value)[1:-1]
    elif isinstance(value, int | float) and len(str(value)) >= LEAST_LENGTH and not isinstance(value, bool):
        yield row_json(value)
