"""A real directory whose store runs as on a simulated disk: every operation takes place in both.

So the files can be looked at, and yet what a power cut may leave is known, any operation can fail, and a process can
die. Nothing is really synced: that is what makes it fast.
"""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from snaptable.storage.disk import names
from snaptable.storage.disk.files import File, Files, HeldLock, Identity
from snaptable.testing.crash import Model, Undecided, sample
from snaptable.testing.disk import Contents, Operation, SimulatedDisk
from snaptable.testing.faults import DiskFaults


class PowerCut(OSError):
    """Be what the operations of a process meet that was killed, or whose power was cut, as far as it runs on."""


class _RealLock:
    """Be the lock on the real file, known to the disk while it is held."""

    def __init__(self, disk: "RecordedDirectory", held: HeldLock) -> None:
        self._disk, self._held = disk, held
        disk.held.append(self)

    def release(self) -> None:
        """Let others in."""
        self._disk.held = [other for other in self._disk.held if other is not self]
        self._held.release()


class RecordedDirectory(SimulatedDisk):
    """Be a store's real directory, and the record of what is not durable there yet.

    Attributes:
        undecided: by model, what a power cut decides.
        countdown: how many operations until the process is dead; None for never.
        held: the locks that are held.
    """

    def __init__(
        self, root: Path, faults: DiskFaults, before: "RecordedDirectory | None" = None, *, fsync: bool
    ) -> None:
        """Take the directory as it is, and what the disk of an earlier process knows of it."""
        found = contents_of(root)
        if before is not None and before.contents.signature() == found.signature():
            found, undecided = before.contents, before.undecided
        else:
            undecided = {"ordered": Undecided(found.copy(), ordered=True), "weak": Undecided(found.copy())}
        super().__init__(found, root, fsync=fsync, faults=faults)
        self.undecided: dict[Model, Undecided] = undecided
        self.countdown: int | None = None
        self._real = Files(root, fsync=False)
        self._opened: dict[int, File] = {}
        self.held: list[_RealLock] = []
        self._dead = ""
        self._gate = threading.RLock()

    # ── as it happens ───────────────────────────────────────────────────────────────────────────────────────────────

    def do(self, operation: Operation) -> None:
        """Let an operation happen, unless the process is dead by now."""
        with self._gate:
            if self.countdown is not None:
                self.countdown -= 1
                if self.countdown < 0:
                    self.die("the power was cut here")
        super().do(operation)

    def happen(self, operation: Operation) -> None:
        """Let an operation take place, in the directory too."""
        with self._gate:
            if self._dead:
                raise PowerCut(errno.EIO, self._dead)
            self._mirror(operation)
            super().happen(operation)
            self.operations.clear()  # what counts is in `undecided`
            for undecided in self.undecided.values():
                undecided.take(operation)
                if operation.kind == "syncdir":
                    undecided.forget_unreachable()

    def _mirror(self, operation: Operation) -> None:
        match operation.kind:
            case "mkdir":
                self._real.make_directory(operation.name)
            case "create" if operation.name not in self._real.list(operation.name.rpartition("/")[0]):
                self._opened[operation.inode] = self._real.create(operation.name)
            case "write" | "reserve" | "truncate":
                file = self._opened.get(operation.inode) or self._real.append(operation.name)
                self._opened[operation.inode] = file
                if operation.kind == "write":
                    file.write([operation.data])
                elif operation.kind == "reserve":
                    present = file.identity().size
                    file.preallocate(present, operation.offset - present)
                else:
                    file.truncate(operation.offset)
            case "rename":
                self._real.replace(operation.name, operation.target)
            case "unlink":
                self._let_go(operation.inode)
                self._real.remove(operation.name)

    def closed(self, inode: int) -> None:
        """Close the real file as well."""
        self._let_go(inode)

    def _let_go(self, inode: int) -> None:
        file = self._opened.pop(inode, None)
        if file is not None:
            file.close()

    # ── what is really there ────────────────────────────────────────────────────────────────────────────────────────

    def read(self, name: str) -> bytes:
        """Return what the file really holds."""
        self.meet("read", name)
        return self._real.read(name)

    def inspect(self, name: str) -> Identity | None:
        """Return the real file's identity."""
        self.meet("inspect", name)
        return self._real.inspect(name)

    def identity(self, name: str) -> Identity | None:
        """Return the real file's identity."""
        return self._real.identity(name)

    def identity_of(self, inode: int) -> Identity:
        """Return the real identity of an open file."""
        return self._opened[inode].identity() if inode in self._opened else super().identity_of(inode)

    def check_directory(self, name: str = "") -> str | None:
        """Look at the real directory."""
        return self._real.check_directory(name)

    def exposed(self, name: str) -> str | None:
        """Look at the real file."""
        return self._real.exposed(name)

    def lock(self, name: str) -> HeldLock:
        """Lock the real file, so that another process is kept out."""
        self.meet("lock", name)
        held = _RealLock(self, self._real.lock(name))
        if name not in self.contents.names:
            super().lock(name)
        return held

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def die(self, reason: str) -> None:
        """Let nothing reach the directory any more, and let go of the lock, as a process does that dies."""
        with self._gate:
            self._dead = self._dead or reason
            for held in list(self.held):
                held.release()
            for inode in list(self._opened):
                self._let_go(inode)

    def cut(self, model: Model, chance: Random) -> None:
        """Leave in the directory what a power cut may leave."""
        write_contents(self.root, sample(self.undecided[model], chance))


def contents_of(root: Path) -> Contents:
    """Return what a store's directory holds: its own files, not those of the application beside them."""
    contents = Contents(set(), {}, {})
    for name, _ in enumerate_store(root, contents.directories.add):
        inode = -1 - len(contents.names)
        contents.names[name] = inode
        contents.inodes[inode] = (root / name).read_bytes()
    return contents


def enumerate_store(root: Path, directory: Callable[[str], object]) -> list[tuple[str, Path]]:
    """Return the store's own files below a directory; `directory` is called with each folder of it that is there."""
    found = []
    for folder in ("", names.JOURNAL, names.QUARANTINE):
        if not (root / folder).is_dir():
            continue
        directory(folder)
        for path in sorted((root / folder).iterdir()):
            own = bool(folder) or path.name in (names.SNAPSHOT, names.LOCK) or names.is_temporary(path.name)
            if own and path.is_file() and not path.is_symlink():
                found.append((f"{folder}/{path.name}" if folder else path.name, path))
    return found


def write_contents(root: Path, contents: Contents) -> None:
    """Let a store's directory hold exactly this; what an application keeps beside the store is left alone."""
    for _, path in enumerate_store(root, lambda _: None):
        path.unlink()
    for folder in (names.JOURNAL, names.QUARANTINE):
        if folder not in contents.directories:
            shutil.rmtree(root / folder, ignore_errors=True)
    if "" not in contents.directories:
        with suppress(OSError):
            root.rmdir()
        return
    for folder in contents.directories:
        (root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, inode in contents.names.items():
        with (root / name).open("xb") as file:
            os.chmod(file.fileno(), 0o600)  # noqa: PTH101 - by descriptor
            file.write(contents.inodes[inode])
