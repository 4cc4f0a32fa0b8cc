"""A backup restored: unpacked beside the place it is to take, verified there as a store that opens, then swapped in.

1. Verify every byte of the backup; decrypt it first, if it is encrypted.
2. Unpack it into a new folder beside the place: `data.restoring-…`. Everything is synced.
3. Open what was unpacked: snapshot, journal, counts; purge what was purged since from the store that it replaces; take
   it back to a moment, if one is wanted.
4. Swap the folders, in one step, and keep the one that was there as `data.before-restore-<time>`.

A crash before step 4 leaves the store as it was, and a folder that nothing reads; one in step 4 leaves either store,
whole. The store must be closed: its lock is held from the beginning to the end.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from snaptable.backup.archive import Archive, Manifest, OnProgress, corrupt
from snaptable.backup.encryption import Decryption, is_encrypted
from snaptable.engines import Filesystem
from snaptable.errors import BackupError, OpenError
from snaptable.history.moments import Moment
from snaptable.maintenance.directory import NotAStore, StoreDirectory
from snaptable.maintenance.erased import Erased, without_erased
from snaptable.maintenance.point_in_time import CommitsAgo, rewind, without_rows
from snaptable.maintenance.shared_steps import verify_result
from snaptable.maintenance.untyped import UntypedStore, ignore_progress, recover_untyped
from snaptable.runtime.clock import timestamp
from snaptable.storage.disk.files import DISK_FULL, Files, resolve, sync
from snaptable.storage.store import read_snapshot


@dataclass
class Unpacked:
    """A backup, unpacked and verified beside the place that it is to take.

    Attributes:
        directory: that place.
        manifest: what the backup says of itself.
        files: the folder that it was unpacked to.
        state: what a start would begin with there.
        replaces: whether there is a store in its place.
        kept: where that store is, once it was replaced; None before, and if there was none.
        erased: number of rows that are left out, because they were purged since, or refer to such.
        leftovers: folders that restores which were interrupted left beside it.
    """

    directory: Path
    manifest: Manifest
    files: Files
    state: UntypedStore
    replaces: bool
    _beside: Files
    kept: Path | None = None
    leftovers: tuple[Path, ...] = field(default=())
    erased: int = 0

    @property
    def rows(self) -> Mapping[str, int]:
        """Number of rows, by table."""
        return self.state.counts()

    def take_place(self) -> None:
        """Put the store in its place, and what was there aside; return when that is on the disk.

        Raises:
            BackupError: it can't take it; the store that was there is as it was.
            OSError: it is in its place, but a power cut may undo that.
        """
        name, new = self.directory.name, self.files.root.name
        try:
            if self.replaces:
                self._swap(name, new, f"{name}.before-restore-{timestamp().replace(':', '')}")
            else:
                self._beside.replace(new, name)
        except OSError as error:
            raise _refused(self.directory, error) from error
        sync(self._beside.sync_directory)

    def _swap(self, name: str, new: str, kept: str) -> None:
        """Swap two folders: in one step, so that at no instant a start would find neither, if the system has one.

        The new one is given the name under which the old one is kept before that, and that name is on the disk before
        it is swapped: whatever a crash leaves, no folder of another name ever holds the old store.
        """
        self._beside.replace(new, kept)
        try:
            sync(self._beside.sync_directory)
            if not self._beside.exchange(kept, name):
                self._beside.replace(kept, new)
                sync(self._beside.sync_directory)
                self._swap_in_two_steps(name, new, kept)
        except OSError:
            if self._beside.identity(new) is None:
                self._beside.replace(kept, new)
            raise
        self.kept = self._beside.path(kept)

    def _swap_in_two_steps(self, name: str, new: str, kept: str) -> None:
        self._beside.replace(name, kept)
        try:
            # In this order on the disk too: else a power cut could leave the new store there, and the old one nowhere.
            sync(self._beside.sync_directory)
            self._beside.replace(new, name)
        except OSError:
            self._beside.replace(kept, name)
            raise


def _refused(directory: Path, error: OSError) -> BackupError:
    reason = f"{directory} can't be replaced: {error}"
    if error.errno in (errno.EBUSY, errno.EXDEV):
        reason += (
            f". It may be a mount point, such as a container's volume, which can't be moved: restore into a new folder "
            f"below it, such as {directory / 'restored'}, and have the store opened there"
        )
    return BackupError(reason, path=directory)


@contextmanager
def unpacked(
    backup: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    at: Moment | CommitsAgo | None = None,
    decryption: Decryption | None = None,
    erased_from: str | os.PathLike[str] | None = None,
    filesystem: Filesystem = Files,
    on_progress: OnProgress = ignore_progress,
) -> Iterator[Unpacked]:
    """Unpack a backup beside a store, whose lock is held until the block ends; what isn't put in place goes. O(n).

    Args:
        backup: the file.
        directory: the place: a store that is closed, an empty folder, or nothing yet.
        at: the moment that it is taken back to; None for the state that it holds.
        decryption: keys, or a passphrase, for one that is encrypted.
        erased_from: a store whose purges hold for the backup too; None for the one that is replaced.
        filesystem: what gives the disk for a directory.
        on_progress: told the number of bytes read since the last call.

    Raises:
        CorruptBackup: the backup is damaged, or what it holds would not open.
        BackupError: it can't be read, decrypted or unpacked.
        StoreLocked: the store is open.
        NotAStore: the folder holds other things.
        ValueError, HistoryGone: the moment is none, or before what the backup's journal keeps.
    """
    target = resolve(directory)
    path = Path(backup).expanduser()
    with ExitStack() as stack:
        # The place first: an hour of unpacking is wasted on one that can't be taken.
        replaces = _check_place(target, stack)
        purged_in = erased_from or target if replaces else erased_from
        erased = Erased() if purged_in is None else Erased.of(StoreDirectory(str(purged_in)).files)
        beside = filesystem(target.parent, fsync=True)
        try:
            beside.make_directory()
            leftovers = tuple(beside.path(name) for name in _folders_beside(target))
            file = stack.enter_context(_open(path))
            if is_encrypted(file):
                file = stack.enter_context(_decrypted(path, file, beside, target.name, decryption))
            archive = Archive(str(path), file, on_progress)
            _check_room(path, sum(each.size for each in archive.manifest.members.values()), beside)
            folder = f"{target.name}.restoring-{uuid4().hex}"
            stack.callback(_remove_tree, beside.path(folder))
            _unpack(archive, beside, folder, on_progress)
        except OSError as error:
            full = "; the disk is full" * (error.errno in DISK_FULL)
            raise BackupError(f"{path} could not be unpacked: {error}{full}", path=path) from error
        files = filesystem(beside.path(folder), fsync=True)
        state, gone = _state_to_restore(path, archive.manifest, files, erased, at)
        yield Unpacked(target, archive.manifest, files, state, replaces, beside, None, leftovers, gone)


def _state_to_restore(
    path: Path, manifest: Manifest, files: Files, erased: Erased, at: Moment | CommitsAgo | None
) -> tuple[UntypedStore, int]:
    """Return what is put back of an unpacked backup, and of how many rows what was purged since was taken out."""
    unchanged = _verified(path, manifest, files)
    state, gone = without_erased(files, unchanged, erased, _references(manifest, unchanged))
    if at is not None:
        state = rewind(files, state, at)
    state = without_rows(files, state, _transient(manifest, state))
    if state is not unchanged:
        verify_result(files, state)
    return state, gone


def _check_place(target: Path, stack: ExitStack) -> bool:
    """Return whether there is a store that is to be replaced, and lock it; raises as `unpacked`."""
    if not target.exists() or not any(target.iterdir()):
        return False
    try:
        store = StoreDirectory(str(target))
    except NotAStore as error:
        raise NotAStore(
            f"{error}. A backup takes the place of a store, of an empty folder, or of nothing: choose another",
            path=target,
        ) from None
    stack.enter_context(store.locked())
    return True


def _folders_beside(target: Path) -> list[str]:
    with suppress(OSError):
        prefix = f"{target.name}.restoring-"
        return sorted(path.name for path in target.parent.iterdir() if path.name.startswith(prefix))
    return []


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupError(f"{path} can't be read: {error}", path=path) from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BackupError(f"{path} is not a file", path=path)
        yield file


@contextmanager
def _decrypted(
    path: Path, file: BinaryIO, beside: Files, name: str, decryption: Decryption | None
) -> Iterator[BinaryIO]:
    """Return an encrypted backup decrypted, in a file of its owner's only that goes at the end of the block."""
    if decryption is None:
        raise BackupError(f"{path} is encrypted: name the file of your keys, or its passphrase", path=path)
    _check_room(path, os.fstat(file.fileno()).st_size, beside)  # about as large as it was
    temporary = f"{name}.restoring-{uuid4().hex}.zip"
    out = beside.create(temporary)
    try:
        try:
            decryption.decrypt(file, lambda data: out.write([data]))
        finally:
            out.close()
        with beside.open(temporary) as plain:
            yield plain
    finally:
        with suppress(OSError):
            beside.remove(temporary)


def _check_room(path: Path, size: int, beside: Files) -> None:
    """Refuse what the disk has no room for, before a byte is written.

    Raises:
        BackupError.
    """
    free = beside.free_bytes()
    if free is not None and size > free:
        raise BackupError(
            f"{path} could not be unpacked: the disk is full. It takes {size:,} bytes beside the store, and "
            f"{beside.root} has room for {free:,}. Nothing was written; make room, or restore to another disk",
            path=path,
        )


def _unpack(archive: Archive, beside: Files, folder: str, on_progress: OnProgress) -> None:
    """Write every file of a backup into a new folder, and return when all of it is on the disk."""
    beside.make_directory(folder)
    folders = {folder}
    for name in (*archive.manifest.members, *(f"{each}/" for each in archive.manifest.folders)):
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            path = "/".join((folder, *parts[:depth]))
            if path not in folders:
                beside.make_directory(path)
                folders.add(path)
    for name in archive.manifest.members:
        file = beside.create(f"{folder}/{name}")
        try:
            for part in archive.read(name):
                file.write([part])
                on_progress(len(part))
            sync(file.sync)
        finally:
            file.close()
    for path in sorted(folders, reverse=True):
        sync(beside.sync_directory, path)


def _verified(path: Path, manifest: Manifest, files: Files) -> UntypedStore:
    """Return the state that was unpacked, as an opening begins with it.

    Raises:
        CorruptBackup: there is none, or it is not the one that the manifest speaks of.
    """
    try:
        state = recover_untyped(files, read_snapshot(files))
    except OpenError as error:
        raise corrupt(str(path), f"what it holds would not open: {error}") from error
    known = {table: count for table, count in state.counts().items() if count}
    expected = {table: count for table, count in manifest.rows.items() if count}
    if (state.id, state.sequence, known) != (manifest.store, manifest.sequence, expected):
        raise corrupt(str(path), "what it holds is not the state that its manifest speaks of")
    return state


def _transient(manifest: Manifest, state: UntypedStore) -> set[str]:
    """Return the tables that come back empty: as the manifest says, or the snapshot, if its models were not known."""
    marks = state.pages.marks
    return {*manifest.transient, *(marks.transient if marks is not None else ())}


def _references(manifest: Manifest, state: UntypedStore) -> tuple[tuple[str, str, str, str], ...]:
    """Return which field refers to which table, and what becomes of its row: likewise."""
    marks = state.pages.marks
    known = marks.references if marks is not None else {}
    of_snapshot = [(table, name, *target) for table, targets in known.items() for name, target in targets.items()]
    return (*manifest.references, *(each for each in of_snapshot if each not in manifest.references))


def _remove_tree(path: Path) -> None:
    """Remove what was unpacked and not put in place."""
    import shutil  # rarely needed

    shutil.rmtree(path, ignore_errors=True)
