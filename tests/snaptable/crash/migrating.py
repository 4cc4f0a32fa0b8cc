"""The workload of a migration: an older program's store, opened by a newer one, which renames, retypes and moves rows.

After a crash the newer program opens what is left. It migrates what was not migrated yet: so the state after commit n
of the older program comes back as the one of commit n + 1, with its rows as the migration makes them, and every earlier
moment is seen through the newer models; `raw` gives it as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field
from tests.snaptable.crash.oracle import MARK, MOST_MOMENTS, Author, Book, Shelf, State

from snaptable import Database, ForeignKey, Index, Row, Table, Unique, table
from snaptable.engines import Filesystem
from snaptable.migrations import Migration, add, rename, rename_table, retype
from snaptable.runtime.silenced_log import silenced_log
from snaptable.testing.disk import Contents, SimulatedDisk
from snaptable.testing.recording import Recording, Rows, disk_of, on_disk_of


class Writer(Row):
    id: int | None = None
    name: Annotated[str, Unique()]
    remark: str = ""
    born: int


class Work(Row):
    id: str
    author: Annotated[int, ForeignKey(Writer, on_delete="cascade")]
    year: Annotated[str, Index(ordered=True)]
    tags: Annotated[list[str], Index(each=True)] = Field(default_factory=list)


class NewShelf(Database):
    authors: Table[Writer]
    works: Table[Work] = table(Index("author", "year", ordered=True))
    migrations: ClassVar[list[Migration]] = [
        Migration("notes are remarks", rename("authors.note", to="remark"), add("authors.born", lambda row: row["id"])),
        Migration("books are works", rename_table("books", to="works"), retype("works.year", using=str)),
    ]


def newer(directory: Path, filesystem: Filesystem | None = None) -> NewShelf:
    """Return a store of the newer program, whose acknowledgements wait for the journal alone."""
    return NewShelf(directory, snapshot="background", filesystem=filesystem)


@cache
def left_behind() -> Contents:
    """Return the disk of a store that the older program has used and closed."""
    disk = SimulatedDisk()
    with silenced_log(), Shelf(disk.root, filesystem=disk.mount) as db:
        db.authors.insert_many([Author(name="Ada", note="a" * 600), Author(name="Grace")])
        db.books.insert(Book(id="b1", author=1, year=1843, tags=["x"]))
    return disk.contents


def migrated(db: Shelf) -> None:
    """Write as the older program, leave some of it to the journal, open as the newer one, go on, and undo across."""
    db.authors.update(1, note="n" * 500)
    db.books.insert(Book(id="b2", author=2, tags=["y", "z"]))
    db.close()
    with on_disk_of(db, newer(disk_of(db).root)) as now:
        now.authors.update(2, remark="written after it")
        now.history.undo(3)
        now.works.delete("b2")
        now.history.undo(4, force=True)
        now.persist()


def migrate(row: BaseModel) -> BaseModel:
    """Return what a row is after the migration."""
    if isinstance(row, Author):
        return Writer(id=row.id, name=row.name, remark=row.note, born=row.id or 0)
    if isinstance(row, Book):
        return Work(id=row.id, author=row.author, year=str(row.year), tags=row.tags)
    return row


def migrated_rows(rows: Rows) -> Rows:
    """Return what rows are after the migration."""
    return {"works" if name == "books" else name: list(map(migrate, each)) for name, each in rows.items()}


def as_newer_sees(run: Recording[Shelf]) -> Recording[NewShelf]:
    """Return a recording whose states are those that the newer program has after opening what is left."""
    first = min(sequence for sequence, each in run.states.items() if "works" in each[-1].rows)
    assert run.states[first][-1].rows == migrated_rows(run.states[first - 1][-1].rows)
    seen = Recording(newer, run.disk, run.first_operation, run.base_sequence + 1)
    for sequence, candidates in sorted(run.states.items()):
        if sequence < first:
            seen.states[sequence + 1] = [replace(each, rows=migrated_rows(each.rows)) for each in candidates]
            seen.acknowledged[sequence + 1] = run.acknowledged[sequence]
        elif sequence > first:
            seen.states[sequence] = candidates
            seen.acknowledged[sequence] = run.acknowledged[sequence]
    return seen


def mark(db: NewShelf) -> None:
    """Make a commit in a store that was recovered."""
    if db.authors.get(MARK.id) is None:
        db.authors.insert(Writer(id=MARK.id, name=MARK.name, born=0))


def check_past(run: Recording[Shelf], seen: Recording[NewShelf], db: NewShelf, *, is_nested: bool = False) -> None:
    """Check the past of a store that the newer program opened: one migration, and every moment around it."""
    history = db.history
    names = [(commit.sequence, commit.migrations) for commit in history if commit.migrations]
    ((at, applied),) = names
    assert applied == tuple(migration.name for migration in NewShelf.migrations)
    assert [commit.sequence for commit in history] == list(range(history.sequence, 0, -1))
    moments = range(min(run.states), history.sequence)
    for moment in sorted({*moments[:: max(1, len(moments) // MOST_MOMENTS)], at - 1, at, history.sequence}):
        with history.at(moment) as past:
            assert past.check() == []
            rows = {(name, row.id): row for name, each in past.tables.items() for row in each}
            rows.pop(("authors", MARK.id), None)
            # Of a moment before the migration it shows the state that the migration would have made of it.
            later = moment + 1 if moment < at else moment
            expected = list(_states(seen, later, own=4 if is_nested else 1))
            assert rows in expected, f"at({moment}) has {rows}; recorded were {expected}"
            if moment < at:
                raw = {name: list(past.raw(name).values()) for name in ("authors", "books")}
                was = [{name: [row.model_dump() for row in rows] for name, rows in each.rows.items()}
                       for each in run.states[moment]]  # fmt: skip
                assert any(_same(raw, each) for each in was), f"raw at({moment}): {raw}; recorded were {was}"


def _states(seen: Recording[NewShelf], sequence: int, own: int) -> Iterator[State]:
    for before in range(own):
        for candidate in seen.states.get(sequence - before, ()):
            state = {(name, row.id): row for name, each in candidate.rows.items() for row in each}  # type: ignore[attr-defined]
            state.pop(("authors", MARK.id), None)
            yield state


def _same(first: dict[str, list[dict[str, object]]], second: dict[str, list[dict[str, object]]]) -> bool:
    return all(sorted(first[name], key=str) == sorted(second[name], key=str) for name in second)
