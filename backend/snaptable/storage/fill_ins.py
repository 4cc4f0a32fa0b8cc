"""What loading fills in, said in words: fields that the models have and the file did not, one line a table."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from snaptable.changes.records import AUTOMATIC, FillIn
from snaptable.errors import SchemaMismatch


def described(fill_ins: Iterable[FillIn], verbs: tuple[str, str] = ("Filled in", "Rewrote")) -> Iterator[str]:
    """Yield a line for each table: which fields of how many rows were filled in, or are written otherwise now."""
    fill_ins = tuple(fill_ins)
    for table in dict.fromkeys(each.table for each in fill_ins):
        of_table = [each for each in fill_ins if each.table == table]
        added = [(each.table, each.added) for each in of_table if each.added]
        changed = [(each.table, each.changed) for each in of_table if each.changed]
        if added:
            yield f"{verbs[0]} {_listed(added)} of {_rows(added)}: fields that the models have and the file did not"
        if changed:
            yield f"{verbs[1]} {_listed(changed)} of {_rows(changed)}: the models write them otherwise than the file"


def fields_of(fill_ins: Iterable[FillIn]) -> str:
    """Return the fields that were filled in, as `table.field, …`."""
    return _listed([(each.table, (*each.added, *each.changed)) for each in fill_ins])


def names_of(fill_ins: Iterable[FillIn]) -> tuple[str, ...]:
    """Return what was filled in, as the names under which its commit has it; none for nothing."""
    return tuple(f"{AUTOMATIC}{line}" for line in described(fill_ins, ("filled in", "rewrote")))


def rewritten(fill_ins: Iterable[FillIn]) -> list[tuple[str, str]]:
    """Return table and name of each field of which a value would not stay: what the file says is not what is read.

    Values that only gain something stay: a nested object with a field more.
    """
    fields: dict[tuple[str, str], None] = {}
    for each in fill_ins:
        if each.changed and any((each.table, name) not in fields for name in each.changed):
            before, after = json.loads(each.before), json.loads(each.row)
            changed = [name for name in each.changed if not _stays(before[name], after[name])]
            fields.update(dict.fromkeys((each.table, name) for name in changed))
    return list(fields)


def _stays(before: object, after: object) -> bool:
    """Return whether a JSON value is still there in another: the same, or objects with members more."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(name in after and _stays(value, after[name]) for name, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_stays, before, after))
    return before == after and type(before) is type(after)


def refuse_invented(path: Path, fill_ins: Iterable[FillIn]) -> None:
    """Raise SchemaMismatch if loading had to invent values, by a default factory, that may not be saved."""
    invented = [(each.table, each.invented) for each in fill_ins if each.invented]
    if invented:
        raise SchemaMismatch(
            f"{path}: {_listed(invented)} of {_rows(invented)} would have to be invented, by a default factory or a "
            f"validator, at each opening; open it for writing once, which saves them. read_only=True changes nothing",
            path=path,
        )


def _listed(fields: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    return ", ".join(dict.fromkeys(f"{table}.{name}" for table, names in fields for name in names))


def _rows(fields: list[tuple[str, tuple[str, ...]]]) -> str:
    return f"{len(fields):,} row{'s' * (len(fields) != 1)}"
