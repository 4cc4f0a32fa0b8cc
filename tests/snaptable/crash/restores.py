"""Restores, killed or cut off from power anywhere: the place holds one store or the other, whole, then the new one.

A restore works on folders beside each other, with the system's own calls. So it runs on a real folder, through files
that record every operation; what each of the three models may leave of these is opened in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.snaptable.crash.oracle import Author, Book, Shelf

from snaptable.maintenance.restore import unpacked
from snaptable.runtime.silenced_log import silenced_log
from snaptable.storage.disk.files import File, Files
from snaptable.testing.crash import MODELS, Model, states_after
from snaptable.testing.disk import Contents, Operation, SimulatedDisk
from snaptable.testing.recording import Rows, rows_of

PLACE = "data"
KEPT = "data.before-restore-"
_inodes = count(1_000_000)


class RecordedFile(File):
    """A real file whose operations are recorded."""

    def __init__(self, inner: File, disk: SimulatedDisk, name: str, inode: int) -> None:
        super().__init__(inner._descriptor, fsync=False)
        self._disk, self._name, self._inode, self._position = disk, name, inode, 0

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append."""
        super().write(buffers)
        data = b"".join(buffers)
        self._disk.record(Operation("write", self._name, self._inode, self._position, data))
        self._position += len(data)

    def truncate(self, size: int) -> None:
        """Cut."""
        super().truncate(size)
        self._disk.record(Operation("truncate", self._name, self._inode, size))
        self._position = size

    def sync(self) -> None:
        """Record that it was synced."""
        self._disk.record(Operation("sync", self._name, self._inode))


class RecordedFiles(Files):
    """A real folder whose operations are recorded, by their paths from the folder around all of them."""

    def __init__(self, root: Path, disk: SimulatedDisk, around: Path, *, can_exchange: bool) -> None:
        super().__init__(root, fsync=False)
        self.room = 0
        self._disk, self._can_exchange = disk, can_exchange
        self._folder = "" if root == around else str(root.relative_to(around))

    def _named(self, name: str) -> str:
        return "/".join(part for part in (self._folder, name.rstrip("/")) if part)

    def make_directory(self, name: str = "") -> bool:
        """Make a folder; its entry is synced, as `Files` does it."""
        made = super().make_directory(name)
        if made:
            path = self._named(name)
            self._disk.record(Operation("mkdir", path))
            self._disk.record(Operation("syncdir", path.rpartition("/")[0]))
        return made

    def sync_directory(self, name: str = "") -> None:
        """Record that it was synced."""
        self._disk.record(Operation("syncdir", self._named(name)))

    def create(self, name: str) -> File:
        """Create a file."""
        inode = next(_inodes)
        file = RecordedFile(super().create(name), self._disk, self._named(name), inode)
        self._disk.record(Operation("create", self._named(name), inode))
        return file

    def append(self, name: str) -> File:
        """Open a file at its end."""
        file = RecordedFile(super().append(name), self._disk, self._named(name), self._inode(name))
        file._position = file.identity().size
        return file

    def retain(self, name: str) -> None:
        """Return None: what is replaced need not be closed later."""

    def _inode(self, name: str) -> int:
        return self._disk.contents.names.get(self._named(name), 0)

    def overwrite(self, name: str, content: bytes) -> None:
        """Replace content in place."""
        super().overwrite(name, content)
        self._disk.record(Operation("truncate", self._named(name), self._inode(name)))
        self._disk.record(Operation("write", self._named(name), self._inode(name), data=content))

    def replace(self, source: str, target: str) -> None:
        """Rename a file or a folder."""
        super().replace(source, target)
        self._disk.record(Operation("rename", self._named(source), self._inode(source), target=self._named(target)))

    def exchange(self, first: str, second: str) -> bool:
        """Swap two folders, if this disk can."""
        if not self._can_exchange or not super().exchange(first, second):
            return False
        self._disk.record(Operation("exchange", self._named(first), target=self._named(second)))
        return True

    def remove(self, name: str) -> None:
        """Remove a file."""
        inode = self._inode(name)
        super().remove(name)
        self._disk.record(Operation("unlink", self._named(name), inode))


@dataclass
class RestoreReport:
    """What the places held after crashes, and what was wrong."""

    states: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@dataclass
class RestoreRun:
    """A restore that took place, with every operation.

    Attributes:
        disk: what was done.
        old: the rows that were replaced; None if there was no store.
        new: the rows of the backup.
        can_exchange: whether the system could swap folders in one step.
    """

    disk: SimulatedDisk
    old: Rows | None
    new: Rows
    can_exchange: bool


def restored(folder: Path, *, at: int | None = None, replaces: bool = True, can_exchange: bool = True) -> RestoreRun:
    """Make a store and a backup in a real folder, restore it, and return what was done."""
    options: dict[str, Any] = {"fsync": False, "banner": False}
    with silenced_log():
        with Shelf(folder / "source", **options) as db:
            db.authors.insert_many([Author(name="Ada", note="a" * 900), Author(name="Grace")])
            db.books.insert(Book(id="b1", author=1, tags=["x"]))
            db.authors.update(2, note="later")
            backup = db.backup(folder / "backup.zip").path
            with db.history.at(at if at is not None else db.history.sequence) as past:
                new = rows_of(past)
        old = None
        if replaces:
            with Shelf(folder / PLACE, **options) as db:
                db.authors.insert(Author(name="old", note="o" * 500))
                old = rows_of(db)
        disk = SimulatedDisk(_contents_of(folder, PLACE))

        def files(path: Path, /, *, fsync: bool) -> Files:
            return RecordedFiles(path, disk, folder, can_exchange=can_exchange)

        with unpacked(backup, folder / PLACE, at=at, filesystem=files) as found:
            found.take_place()
    return RestoreRun(disk, old, new, can_exchange)


def _contents_of(folder: Path, place: str) -> Contents:
    contents = Contents({""}, {}, {})
    for path in sorted((folder / place).rglob("*")) if (folder / place).exists() else ():
        name = str(path.relative_to(folder))
        contents.directories |= {place, name} if path.is_dir() else {place}
        if path.is_file():
            inode = next(_inodes)
            contents.names[name], contents.inodes[inode] = inode, path.read_bytes()
    return contents


def search(run: RestoreRun, report: RestoreReport, model: Model, *, seed: int, most: int, every: int = 1) -> None:
    """Look at every state that a crash may leave after every operation of a restore."""
    last = len(run.disk.operations)
    for point in (*range(0, last, every), last):
        for contents in states_after(run.disk, point, model, seed, most):
            report.states[model] += 1
            try:
                report.found[_found(run, contents, is_done=point == last)] += 1
            except Exception as error:
                report.failures.append(f"{model}, after operation {point}: {type(error).__name__}: {error}")


def _found(run: RestoreRun, contents: Contents, *, is_done: bool) -> str:
    """Check what the place holds, and return which store that is."""
    rows, kept = _rows_in(contents, PLACE), [name for name in contents.directories if _is_kept(name)]
    if rows is None:
        assert run.old is None or not run.can_exchange, "there is no store in the place"
        assert not is_done, "the restore has ended, and there is no store in the place"
        if run.old is not None:
            assert [_rows_in(contents, name) for name in kept] == [run.old], "nor is the old one where its name says"
        return "none"
    assert rows in (run.old, run.new), f"the place holds {rows}"
    assert not is_done or rows == run.new, "the restore has ended, and the old store is in the place"
    if rows == run.new and run.old is not None and run.old != run.new:
        assert [_rows_in(contents, name) for name in kept] == [run.old], "the old store is not where its name says"
    return "new" if rows == run.new else "old"


def _is_kept(name: str) -> bool:
    return name.startswith(KEPT) and "/" not in name


def _rows_in(contents: Contents, folder: str) -> Rows | None:
    """Return the rows of the store in a folder, opened in memory; None if there is no such folder."""
    if folder not in contents.directories:
        return None
    inside = Contents({""}, {}, {})
    prefix = f"{folder}/"
    inside.directories |= {name[len(prefix) :] for name in contents.directories if name.startswith(prefix)}
    inside.names = {name[len(prefix) :]: inode for name, inode in contents.names.items() if name.startswith(prefix)}
    inside.inodes = {inode: contents.inodes[inode] for inode in inside.names.values()}
    disk = SimulatedDisk(inside)
    assert "db_snapshot.json" in inside.names, f"{folder} holds no store"
    with silenced_log(), Shelf(disk.root, filesystem=disk.mount) as db:
        assert db.check() == []
        return rows_of(db)


WAYS: dict[str, dict[str, Any]] = {
    "in the place of a store": {},
    "to a moment": {"at": 2},
    "to nothing": {"replaces": False},
    "in two steps": {"can_exchange": False},
}
"""How restores differ, by name."""

__all__ = ["MODELS", "WAYS", "RestoreReport", "RestoreRun", "restored", "search"]
