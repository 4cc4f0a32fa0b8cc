"""What migrating costs: an opening that applies three steps to 100,000 rows, beside one that applies nothing.

uv run python -m tests.benchmarks.migrate [ROWS]
"""

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from snaptable import Database, Index, Row, Table
from snaptable.migrations import Migration, add, rename, retype


class Document(Row):
    id: int
    user_id: Annotated[str, Index()]
    title: str
    tags: str
    text: str = "x" * 200


class Old(Database):
    documents: Table[Document]
    others: Table[Document]


class Paper(Row):
    id: int
    user_id: Annotated[str, Index()]
    name: str
    tags: list[str]
    pages: int
    text: str = "x" * 200


class New(Database):
    documents: Table[Paper]
    others: Table[Document]
    migrations: ClassVar[list[Migration]] = [
        Migration("name", rename("documents.title", to="name")),
        Migration(
            "tags", retype("documents.tags", using=lambda text: text.split(",")), add("documents.pages", lambda _: 1)
        ),
    ]


def fill(directory: Path, rows: int) -> None:
    """Write rows to a store, and close it."""
    with Old(directory, banner=False) as db:
        db.documents.insert_many(
            Document(id=key, user_id=f"user {key % 100}", title=f"title {key}", tags="a,b,c") for key in range(rows)
        )


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return how long some work takes, and how long on the processor: on a busy machine only that says something."""
    began, began_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - began_cpu


def shown(times: list[tuple[float, float]]) -> str:
    """Return the best of some times, in words."""
    return f"{min(wall for wall, _ in times):.2f} s ({min(cpu for _, cpu in times):.2f} s on the processor)"


def opened_and_closed(db: Database) -> None:
    """Open a database, and close it."""
    db.open().close()


def main(rows: int) -> None:
    """Measure three times, and print the best of each."""
    logging.disable(logging.WARNING)
    opened, migrated, past, frame = [], [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        fill(source, rows)
        for number in range(3):
            directory = Path(shutil.copytree(source, Path(folder) / str(number)))
            opened.append(seconds(partial(opened_and_closed, Old(directory, banner=False))))
            db = New(directory, banner=False)
            migrated.append(seconds(db.open))
            frame = max(path.stat().st_size for path in (directory / "db_journal").iterdir() if path.name != "1.jsonl")
            past.append(seconds(partial(db.history.at, 1)))
            db.close()
    sys.stdout.write(
        f"{rows:,} rows: opened and closed in {shown(opened)}, opened with migration in {shown(migrated)}, "
        f"a past before it in {shown(past)}; a frame of {frame / 1e6:.0f} MB\n"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
