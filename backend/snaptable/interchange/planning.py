"""An import: planned first, so that everything that is wrong is known, then applied as one commit, or not at all."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from snaptable.changes.attribution import attribution, current_attribution
from snaptable.contract import M
from snaptable.database.database import Database
from snaptable.database.lookup import database_of
from snaptable.errors import (
    ConstraintError,
    ImportFault,
    ImportRefused,
    InvalidRow,
    RowNotFound,
    listed,
)
from snaptable.history.records import Change
from snaptable.interchange.constraints import ConstraintCheck
from snaptable.interchange.parsed import Record
from snaptable.interchange.rejects import write_rejects
from snaptable.interchange.row_reader import ReadRow, RowReader, suggested_mapping
from snaptable.table import Table

MAX_FAULTS: Final = 100
"""Faults that a plan tells; it counts all."""
EXAMPLES: Final = 3
STRIDE: Final = 256
"""Rows between two reports of progress."""

OnProgress = Callable[[int, int], None]
"""Called with the number of rows done, and of all."""


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        inserted, updated, unchanged: numbers of rows.
        commit: the sequence of its commit; None if nothing changed, or within a transaction.
    """

    inserted: int
    updated: int
    unchanged: int
    commit: int | None


@dataclass(slots=True)
class _Planned:
    """A row that will be written, and the one that it replaces."""

    record: Record
    row: BaseModel
    has_key: bool
    stored: BaseModel | None


@dataclass
class ImportPlan:
    """What an import would do; nothing is written yet.

    Attributes:
        table: the table's name.
        inserts, updates, unchanged: numbers of rows.
        wrong: the number of rows with faults; nothing is imported while there are any.
        faults: the first `MAX_FAULTS` faults, in the order of the file.
        examples: up to three of the changes; secrets are masked.
        unknown: names in the file that are no field's, with the line where each stands first.
        suggestions: which fields these seem to mean.
    """

    table: str
    _target: Table[Any] = field(repr=False)
    inserts: int = 0
    updates: int = 0
    unchanged: int = 0
    wrong: int = 0
    faults: tuple[ImportFault, ...] = ()
    examples: tuple[Change, ...] = ()
    unknown: dict[str, int] = field(default_factory=dict)
    suggestions: dict[str, str] = field(default_factory=dict)
    _planned: list[_Planned] = field(default_factory=list, repr=False)
    _rejected: dict[int, Record] = field(default_factory=dict, repr=False)
    _reasons: dict[int, list[ImportFault]] = field(default_factory=dict, repr=False)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with any row."""
        return not self.wrong and not self.unknown

    @property
    def total(self) -> int:
        """The number of rows in the file."""
        return self.inserts + self.updates + self.unchanged + self.wrong

    def __str__(self) -> str:
        counts = f"{self.inserts:,} to insert, {self.updates:,} to change, {self.unchanged:,} unchanged"
        lines = [f"{self.table}: {counts}" + (f", {self.wrong:,} wrong" if self.wrong else "")]
        lines += [f"  {change}" for change in self.examples] if self.is_sound else []
        lines += [f"  {fault}" for fault in self.faults[:10]]
        more = len(self.faults) - 10
        return "\n".join([*lines, *([f"  … and {more:,} more"] if more > 0 else [])])

    # ── carrying it out ─────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, *, note: str | None = None, on_progress: OnProgress | None = None) -> Imported:
        """Write all rows as one commit, or none; O(rows), and one sync of the disk.

        Args:
            note: why, kept with the commit.
            on_progress: called now and then with the number of rows written, and of all.

        Raises:
            ImportRefused: a row is wrong, or what was stored has changed since the plan; nothing was written.
            WriteFailed, ReadOnlyStore, TransactionError: as `Table.insert`.
        """
        if not self.is_sound:
            raise self._refused(self.faults, self.wrong)
        table, database = self._target, database_of(self._target)
        before = database.history.sequence
        given = current_attribution()
        try:
            with attribution(note=note, via=None if given and given.via else "import"), database.transaction():
                self._write(table, on_progress)
        except (ConstraintError, RowNotFound, InvalidRow) as error:
            raise self._changed_since(error) from error
        return Imported(self.inserts, self.updates, self.unchanged, self._commit(database, before))

    def _write(self, table: Table[BaseModel], on_progress: OnProgress | None) -> None:
        key = table.schema.key
        for number, planned in enumerate(self._planned, start=1):
            if planned.stored is not None:
                table.replace(planned.row, expected=planned.stored)
            else:
                row = planned.row if planned.has_key else planned.row.model_copy(update={key: None})
                planned.row = table.insert(row)
            if on_progress is not None and (number % STRIDE == 0 or number == len(self._planned)):
                on_progress(number, len(self._planned))

    def _commit(self, database: Database, before: int) -> int | None:
        if not self._planned or database.__schemas__[self.table].transient:
            return None
        key = getattr(self._planned[0].row, database.__schemas__[self.table].key)
        commits = database.history.commits(self.table, key, since=before, oldest_first=True, limit=1)
        return next((commit.sequence for commit in commits), None)

    def _changed_since(self, error: ConstraintError | RowNotFound | InvalidRow) -> ImportRefused:
        """Return the refusal of what fitted when it was planned."""
        name = self._target.schema.key
        lines = (each.record.line for each in self._planned if getattr(each.row, name) == error.key)
        place = ", ".join(error.fields) or None
        return self._refused([ImportFault(next(lines, 0), place, str(error))], 1)

    def _refused(self, faults: Sequence[ImportFault], rows: int) -> ImportRefused:
        shown = "\n  ".join(listed([str(fault) for fault in faults], 10))
        message = f"{self.table}: {max(rows, len(self.unknown)):,} wrong, so nothing was imported:\n  {shown}"
        return ImportRefused(message, table=self.table, faults=faults, rows=rows)

    def rejected(self) -> Iterator[tuple[Record, list[dict[str, str | None]]]]:
        """Yield each record that is wrong, and what is: field and reason, of the first thousand records."""
        for number, record in self._rejected.items():
            faults = self._reasons.get(number, ())
            yield record, [{"field": each.field, "reason": each.reason} for each in faults]

    def write_rejects(self, path: str | Path) -> int:
        """Write the rows that are wrong, with the reasons, a JSON object a line, and return how many there are.

        Each line has `line`, `faults` (of the first thousand rows) and `record`, as the file has it.

        Raises:
            UnreadableFile: it is there already, or can't be written.
        """
        return write_rejects(path, self.rejected())


def plan_import(
    table: Table[M],
    records: Sequence[Record],
    *,
    mapping: Mapping[str, str] | None = None,
    update: bool = False,
    on_progress: OnProgress | None = None,
) -> ImportPlan:
    r"""Return what an import of records into a table would do, and everything that is wrong with them; O(records).

    Types are the model's: a text stays a text. A key that has a row already is a fault unless `update`, which changes
    the fields that the file has and leaves the others. Secrets that are masked in the file are left alone.

    Args:
        table: the table.
        records: what `ParsedFile.records` gives.
        mapping: fields by the file's names, where they differ; "" to leave a name out.
        update: change rows that are there.
        on_progress: called now and then with the number of records looked at, and of all.

    Raises:
        ValueError: a name is mapped to what is not a field.

    >>> from snaptable.interchange import read_bytes
    >>> print(plan_import(db.users, read_bytes(b"id,age\neve,7\n").records()))
    users: 1 to insert, 0 to change, 0 unchanged
      + users eve
    """
    planner = _Planner(table, database_of(table), RowReader(table.schema, mapping or {}), update=update)
    return planner.plan(records, on_progress)


class _Wrong(Exception):
    """A record that is not a row, and why."""

    def __init__(self, faults: list[ImportFault]) -> None:
        super().__init__()
        self.faults = faults


class _Planner:
    """An import that is being planned."""

    def __init__(self, table: Table[M], database: Database, reader: RowReader, *, update: bool) -> None:
        self._table, self._reader, self._update = table, reader, update
        self._check = ConstraintCheck(table, database.tables)
        self._result = ImportPlan(table.name, table)
        self._examples: list[Change] = []
        self._faults: dict[int, list[ImportFault]] = {}
        """By the number of the record."""
        self._lines: dict[int, Record] = {}

    def plan(self, records: Sequence[Record], on_progress: OnProgress | None) -> ImportPlan:
        """Look at every record, then at what they are beside one another."""
        read: list[tuple[int, _Planned, bool]] = []
        for number, record in enumerate(records):
            planned = self._read(number, record)
            if planned is not None:
                read.append((number, *planned))
            if on_progress is not None and ((number + 1) % STRIDE == 0 or number + 1 == len(records)):
                on_progress(number + 1, len(records))
        for number, planned_row, changes in read:
            self._sort_in(number, planned_row, changes=changes)
        return self._finish()

    def _read(self, number: int, record: Record) -> tuple[_Planned, bool] | None:
        """Return the row of a record, and whether it changes anything; None if something is wrong with it."""
        try:
            return self._planned(record)
        except _Wrong as wrong:
            self._refuse(number, record, wrong.faults)
            return None

    def _planned(self, record: Record) -> tuple[_Planned, bool]:
        values, unknown, faults = self._reader.values_of(record)
        for name in unknown:
            self._result.unknown.setdefault(name, record.line)
        if faults:
            raise _Wrong(faults)
        masked = self._reader.drop_masked(values)
        stored = self._stored(values, record)
        if stored is None and masked:
            raise _Wrong([ImportFault(record.line, name, "is masked, so the file doesn't have it") for name in masked])
        read = self._reader.read(values if stored is None else self._reader.merged(stored, values), record)
        if not isinstance(read, ReadRow):
            raise _Wrong(read)
        if read.has_key:
            twice = list(self._check.key_faults(getattr(read.row, self._table.schema.key), record.line))
            if twice:
                raise _Wrong([ImportFault(record.line, *fault) for fault in twice])
        self._check.enter(read.row, stored)
        changes = stored is None or not self._reader.codec.is_same_row(stored, read.row, read.data)
        return _Planned(record, read.row, read.has_key, stored), changes

    def _stored(self, values: Mapping[str, object], record: Record) -> BaseModel | None:
        """Return the stored row of a record's key; without `update` there must be none."""
        schema = self._table.schema
        if schema.key not in values:
            return None
        key = self._reader.key_of(values[schema.key])
        stored: BaseModel | None = None if key is None else self._table.get(key)
        if stored is not None and not self._update:
            raise _Wrong([ImportFault(record.line, schema.key, "there is a row with this key already")])
        return stored

    def _sort_in(self, number: int, planned: _Planned, *, changes: bool) -> None:
        line = planned.record.line
        faults = [ImportFault(line, *fault) for fault in self._check.faults(planned.row, line, has_key=planned.has_key)]
        result = self._result
        if faults:
            self._refuse(number, planned.record, faults)
        elif not changes:
            result.unchanged += 1
        else:
            result.inserts += planned.stored is None
            result.updates += planned.stored is not None
            result._planned.append(planned)
            if len(self._examples) < EXAMPLES:
                self._examples.append(self._change_of(planned))

    def _change_of(self, planned: _Planned) -> Change:
        dump = self._reader.codec.dump
        schema = self._table.schema
        old = None if planned.stored is None else json.loads(dump(planned.stored))
        new = json.loads(dump(planned.row))
        key = new[schema.key] if planned.has_key else "(numbered)"
        if not planned.has_key:
            new.pop(schema.key)
        return Change.of(schema, key, old, new)

    def _refuse(self, number: int, record: Record, faults: list[ImportFault]) -> None:
        self._lines[number] = record
        if len(self._faults) < 10 * MAX_FAULTS:
            self._faults[number] = faults

    def _finish(self) -> ImportPlan:
        result = self._result
        result.wrong = len(self._lines)
        result._rejected = {number: self._lines[number] for number in sorted(self._lines)}
        result._reasons = self._faults
        result.suggestions = suggested_mapping(self._table.schema, tuple(result.unknown))
        faults = [self._unknown(name, line) for name, line in result.unknown.items()]
        faults += [fault for number in sorted(self._faults) for fault in self._faults[number]]
        result.faults = tuple(faults[:MAX_FAULTS])
        result.examples = tuple(self._examples)
        return result

    def _unknown(self, name: str, line: int) -> ImportFault:
        hint = self._result.suggestions.get(name)
        shown = name[:80] or "(no name)"
        advice = f"map it: {shown}={hint}" if hint else f"map it to one, or leave it out: {shown}="
        return ImportFault(line, shown, f"is no field of {self._table.name}; {advice}")
