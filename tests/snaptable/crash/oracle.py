"""The plain list of states, by which the past of a store is judged after a crash: what was committed, commit by commit.

A recording keeps the rows after every commit. Whatever state a crash leaves, `at(n)` of every commit that is kept gives
the rows of the list, `commits` lists them without a gap, and history is no shorter than somebody asked for. Of a row
that is being purged a past shows all or nothing; once the store says that it was, no past has it, and no file.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from snaptable import Database, ForeignKey, Index, Row, Table, Unique, table
from snaptable.storage.disk import names
from snaptable.testing.recording import Recording, disk_of


class Author(Row):
    id: int | None = None
    name: Annotated[str, Unique()]
    note: str = ""


class Book(Row):
    id: str
    author: Annotated[int, ForeignKey(Author, on_delete="cascade")]
    year: Annotated[int, Index(ordered=True)] = 2000
    tags: Annotated[list[str], Index(each=True)] = Field(default_factory=list)


class Shelf(Database):
    authors: Table[Author]
    books: Table[Book] = table(Index("author", "year", ordered=True))


MARK = Author(id=999_999, name="written after the crash")
"""A row that is written to a store that was recovered."""
SECRET = "Lovelace"
"""What rows hold that are purged."""
MOST_MOMENTS = 3
"""Moments of one history that are looked at; of more, some."""
State = dict[tuple[str, object], BaseModel]
"""Each row by its table and key."""


def purges(run: Recording[Shelf]) -> bool:
    """Return whether rows are purged in a recording."""
    rows = (row for states in run.states.values() for each in states for row in each.rows["authors"])
    return any(SECRET in row.model_dump_json() for row in rows)


def check_past(run: Recording[Shelf], db: Shelf, *, is_nested: bool = False) -> None:
    """Check the past of a store that was opened after a crash in a recording, and after another, if it is nested."""
    first, last = db.history.first, db.history.sequence
    removed = [each.name for each in run.disk.operations if each.kind == "unlink" and each.name.endswith(".jsonl")]
    assert removed or first == 0, f"history begins behind {first}, and nobody shortened it"
    assert [commit.sequence for commit in db.history] == list(range(last, first, -1))
    step = max(1, (last - first) // MOST_MOMENTS)
    erased = db._opened().erased
    until = max((each for keys in erased.values() for each in keys.values()), default=0)
    for moment in sorted({*range(first, last, step), last}):
        with db.history.at(moment) as past:
            rows = _state(past)
            assert past.check() == []
        problem = _problem(run, moment, rows, own=4 if is_nested else 1)
        assert problem is None, f"at({moment}) {problem}"
        shown = [place for place in _secrets(rows) if place[0] != "books" or place[1] not in db.books]
        assert moment > until or not shown, f"at({moment}) shows what was purged: {shown}"
    # The key was given again, and is purged once more in the end.
    if until and not any(db.history.commits("authors", 1, since=max(until, first))):
        check_files(db)


def _state(db: Shelf) -> State:
    return {(name, row.id): row for name, rows in db.tables.items() for row in rows}


def _secrets(rows: State) -> State:
    return {place: row for place, row in rows.items() if SECRET in row.model_dump_json()}


def _problem(run: Recording[Shelf], moment: int, rows: State, own: int) -> str | None:
    """Return why no recorded state is the one of a moment; None if one is.

    Between a crash and the next one, up to `own` - 1 commits were made that are not of the recording.
    """
    rows.pop(("authors", MARK.id), None)
    candidates = [each for before in range(own) for each in run.states.get(moment - before, ())]
    for candidate in candidates:
        expected = {(name, row.id): row for name, each in candidate.rows.items() for row in each}  # type: ignore[attr-defined]
        expected.pop(("authors", MARK.id), None)
        missing = _secrets({place: row for place, row in expected.items() if place not in rows})
        if {place: row for place, row in expected.items() if place not in missing} == rows:
            return None
    return f"has {list(rows.values())}; recorded were {[candidate.rows for candidate in candidates]}"


def check_files(db: Shelf) -> None:
    """Check that no file of a store holds what was purged; the quarantine is not the store's to change.

    A book that is still there was not purged: the crash came before it was given to the author who was. It holds the
    same text, and may.
    """
    if any(SECRET in book.model_dump_json() for book in db.books):
        return
    disk = disk_of(db)
    for name, inode in disk.contents.names.items():
        if not name.startswith(f"{names.QUARANTINE}/"):
            assert SECRET.encode() not in disk.contents.inodes[inode], f"{name} holds what was purged"
