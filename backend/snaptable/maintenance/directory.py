"""The directory that a tool is given: whether a store is there, whose it is, and its lock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snaptable.errors import OpenError
from snaptable.maintenance.stable_read import fingerprint
from snaptable.runtime.program_name import program
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files, resolve
from snaptable.storage.disk.lock import Lock, last_models
from snaptable.storage.disk.names import JOURNAL, QUARANTINE, SNAPSHOT
from snaptable.storage.store import check_directories, read_snapshot

__all__ = ["JOURNAL", "QUARANTINE", "SNAPSHOT", "NotAStore", "StoreDirectory", "program"]


class NotAStore(OpenError):
    """A path without a store that this user may look after."""


class StoreDirectory:
    """The directory of a store, for tools.

    Attributes:
        files: the seam to its files.
        root: its absolute path.
        snapshot_path: the path of its snapshot.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Look for a store; nothing is locked or changed.

        Raises:
            NotAStore: there is none, or it belongs to another user.
        """
        if "://" in os.fspath(path):  # which may hold a password, so it is not repeated
            raise NotAStore(
                "that is the address of a server, and this reads a directory; a store on PostgreSQL is looked at by "
                "its program, by `snaptable shell --schema MODULE:DATABASE`, or moved here by `snaptable move`"
            )
        self.files = Files(resolve(path))
        self.root: Path = self.files.root
        self.snapshot_path = self.files.path(SNAPSHOT)
        self._check_store()
        self._check_owner()

    def _check_store(self) -> None:
        if not self.files.exists():
            raise NotAStore(f"{self.root} is not a directory", path=self.root)
        if not any(name in (SNAPSHOT, JOURNAL) for name in self.files.list()):
            raise NotAStore(f"there is no store in {self.root}: neither {SNAPSHOT} nor {JOURNAL}", path=self.root)

    def _check_owner(self) -> None:
        owner = self.root.stat().st_uid
        if os.name != "nt" and owner != os.geteuid():
            raise NotAStore(
                f"{self.root} belongs to user {owner}: call this as that user, e.g. sudo -u '#{owner}' … "
                f"(container: exec --user {owner})",
                path=self.root,
            )

    def command(self, verb: str) -> str:
        """Return the shell command that calls one of the tools on this directory."""
        return names.command(verb, self.root)

    def last_models(self) -> str:
        """Return the Database class that opened the store last, as `module:Class`; "" if that is unknown."""
        return last_models(self.files)

    def read_snapshot(self) -> bytes | None:
        """Return the snapshot's bytes, None if there is none."""
        return read_snapshot(self.files)

    def size(self) -> int:
        """Return the bytes of snapshot and journal: what a check has to read."""
        return sum(identity[2] for identity in fingerprint(self.files) if identity)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the store for the length of a block.

        Raises:
            StoreLocked: a process has the store open; the message names it.
            UnsafeDirectory: others could write to the directory or its folders.
        """
        check_directories(self.files)
        lock = Lock(self.files)
        try:
            yield
        finally:
            lock.release()
