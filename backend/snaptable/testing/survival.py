"""Whether every row of a database would come back equal after a restart: the same values, of the same types."""

from collections.abc import Iterator
from operator import attrgetter

from pydantic import BaseModel

from snaptable.database.database import Database
from snaptable.errors import SnaptableError, listed
from snaptable.runtime.silenced_log import silenced_log
from snaptable.testing.disk import EMPTY, ROOT, Contents, SimulatedDisk
from snaptable.testing.recorded_directory import contents_of
from snaptable.testing.recording import Rows, rows_of, sibling
from snaptable.values.sameness import same

MAX_DIFFERENCES = 20
"""Differences that are named; more are counted."""


def assert_survives_restart(db: Database) -> None:
    """Assert that every row of an open database would come back equal, after a kill now and after a clean restart.

    The database is left alone: a copy of it is opened. For one in "memory:", the copy is what a directory would keep.

    Raises:
        AssertionError: naming table, key and field of each difference.
    """
    before = rows_of(db)
    with silenced_log():
        try:
            contents = contents_of(db.directory) if db.directory is not None else _kept(db, before)
            disk = SimulatedDisk(contents)
            problems = []
            for after in ("a kill", "a clean restart"):
                copy = sibling(db, ROOT, disk.mount).open()
                problems += [f"after {after}: {problem}" for problem in differences(db, before, rows_of(copy))]
                copy.close()
        except SnaptableError as error:
            raise AssertionError(f"the store would not come back: {type(error).__name__}: {error}") from error
    if problems:
        raise AssertionError("\n".join(["these would not come back equal:", *listed(problems, MAX_DIFFERENCES)]))


def _kept(db: Database, rows: Rows) -> Contents:
    """Return what a directory would keep of the rows."""
    disk = SimulatedDisk(EMPTY)
    copy = sibling(db, ROOT, disk.mount).open()
    with copy.transaction():
        for name, table_rows in rows.items():
            copy.tables[name].insert_many(table_rows)
    copy.close()
    return disk.contents


def differences(db: Database, before: Rows, after: Rows) -> Iterator[str]:
    """Yield each difference between rows, by table, key and field."""
    for name, rows in before.items():
        key_of = attrgetter(db.tables[name].schema.key)
        old, new = {key_of(row): row for row in rows}, {key_of(row): row for row in after[name]}
        for key, row in old.items():
            if key not in new:
                yield f"{name}[{key!r}] is not there"
                continue
            for field, value in _parts(row).items():
                again = _parts(new[key]).get(field)
                if not same(value, again, strict=True):
                    yield f"{name}[{key!r}].{field}: {value!r} came back as {again!r}"
        yield from (f"{name}[{key!r}] was not there before" for key in new if key not in old)
        if list(old) != list(new) and old.keys() == new.keys():
            yield f"{name}: the rows come back in another order"


def _parts(row: BaseModel) -> dict[str, object]:
    """Return a row's fields and private attributes."""
    return {**row.__dict__, **(row.__pydantic_private__ or {})}
