"""Whether every row of a database would come back equal after a restart: the same values, of the same types."""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from snaptable.database import Database
from snaptable.errors import SnaptableError
from snaptable.silenced_log import silenced_log
from snaptable.testing.disk import EMPTY, ROOT, Contents, SimulatedDisk
from snaptable.testing.recorded_directory import contents_of
from snaptable.testing.recording import Rows, on_disk, rows_of

MOST = 20
"""Differences that are named."""


def assert_survives_restart(db: Database) -> None:
    """Ensure that every row of an open database would come back equal, after a kill now and after a clean restart.

    The database is left alone: a copy of it is opened. One in "memory:" is judged by what would be kept of it.

    Raises:
        AssertionError: naming table, key and field of whatever would not.
    """
    before = rows_of(db)
    with silenced_log():
        try:
            contents = contents_of(db.directory) if db.directory is not None else _kept(db, before)
            disk = SimulatedDisk(contents)
            problems = []
            for after in ("a kill", "a clean restart"):
                copy = sibling(db, disk).open()
                problems += [f"after {after}: {problem}" for problem in differences(db, before, rows_of(copy))]
                copy.close()
        except SnaptableError as error:
            raise AssertionError(f"the store would not come back: {type(error).__name__}: {error}") from error
    if problems:
        more = f"\n… and {len(problems) - MOST} more" if len(problems) > MOST else ""
        raise AssertionError("these would not come back equal:\n" + "\n".join(problems[:MOST]) + more)


def sibling(db: Database, disk: SimulatedDisk) -> Database:
    """Return a closed database of the same class on a disk, whatever the class's own arguments are."""
    copy = object.__new__(type(db))
    Database.__init__(copy, ROOT)
    return on_disk(copy, disk)


def _kept(db: Database, rows: Rows) -> Contents:
    disk = SimulatedDisk(EMPTY)
    copy = sibling(db, disk).open()
    with copy.transaction():
        for name, found in rows.items():
            copy.tables[name].insert_many(found)
    copy.close()
    return disk.contents


def differences(db: Database, before: Rows, after: Rows) -> Iterator[str]:
    """Yield where rows differ, by table, key and field."""
    for name, rows in before.items():
        key = attrgetter(db.tables[name].schema.key)
        old, new = {key(row): row for row in rows}, {key(row): row for row in after[name]}
        for found, row in old.items():
            if found not in new:
                yield f"{name}[{found!r}] is not there"
                continue
            for field, value in _parts(row).items():
                again = _parts(new[found]).get(field)
                if not identical(value, again):
                    yield f"{name}[{found!r}].{field}: {value!r} came back as {again!r}"
        yield from (f"{name}[{found!r}] was not there before" for found in new if found not in old)
        if list(old) != list(new) and old.keys() == new.keys():
            yield f"{name}: the rows come back in another order"


def _parts(row: BaseModel) -> dict[str, Any]:
    """Return a row's fields and private attributes."""
    return {**row.__dict__, **(row.__pydantic_private__ or {})}


def identical(first: object, second: object) -> bool:
    """Return whether two values are equal and of the same type, in every part; -0.0 is not 0.0, nor 1 True."""
    if type(first) is not type(second):
        return False
    if isinstance(first, BaseModel) and isinstance(second, BaseModel):
        return identical(_parts(first), _parts(second))
    if isinstance(first, dict) and isinstance(second, dict):
        return list(first) == list(second) and all(identical(value, second[key]) for key, value in first.items())
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(identical, first, second))
    return repr(first) == repr(second) if isinstance(first, float) else first == second
