"""Backups made: a captured state, written as a file that has its name only once it was read back and found right.

1. Capture: the state, as of one commit; writes go on.
2. Write it under a temporary name, encrypted on the way if wanted, and sync it.
3. Read it back from the disk, decrypt it, and verify every byte.
4. Give it its name, and sync that.

A crash leaves a file whose name begins with `.backup.`; the store's own files are only read.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import uuid4

from snaptable.backup.archive import Archive, ArchiveWriter, Manifest, OnProgress, is_folder_name
from snaptable.backup.encryption import Encryption, Write
from snaptable.backup.naming import name_of
from snaptable.changes.captures import Capture
from snaptable.contract import Engine
from snaptable.engines import import_name
from snaptable.errors import BackupError, UnsafeDirectory
from snaptable.migrations import Migration
from snaptable.schema.tables import TableSchema
from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import PendingFile
from snaptable.storage.disk.files import DISK_FULL, Files, resolve, sync

ATTEMPTS = 3
"""How often it is tried, if files beside the store are removed while they are copied."""
WRITEBACK_BYTES = 4 << 20
"""Bytes after which the disk is asked to begin writing."""
TEMPORARY = ".backup."
"""How the names of unfinished backups begin."""


@dataclass(frozen=True)
class Backup:
    """A backup that was made and verified.

    Attributes:
        path: the file.
        store: id of the store.
        sequence: the commit whose state it is.
        at: when that was captured.
        rows: number of rows, by table.
        files: number of files in it, the manifest aside.
        size: of the file, in bytes.
        sha256: of the file.
        encrypted: whether it is encrypted.
    """

    path: Path
    store: str
    sequence: int
    at: datetime
    rows: Mapping[str, int]
    files: int
    size: int
    sha256: str
    encrypted: bool

    def __str__(self) -> str:
        rows = ", ".join(f"{count:,} {table}" for table, count in self.rows.items())
        return f"{self.path}: sequence {self.sequence}, {rows or 'no tables'}; {self.size:,} bytes"


@dataclass(frozen=True)
class Facts:
    """What a manifest says beside what a capture does; see `Manifest`."""

    models: str = ""
    folders: tuple[str, ...] = ()
    transient: tuple[str, ...] = ()
    references: tuple[tuple[str, str, str, str], ...] = ()
    secret: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, models: str, folders: Sequence[str], schemas: Mapping[str, TableSchema]) -> "Facts":
        """Return what is to be said of a database of these tables."""
        references = [each for schema in schemas.values() for each in schema.references]
        return cls(
            models,
            tuple(folders),
            tuple(name for name, schema in schemas.items() if schema.transient),
            tuple((each.table, each.field, each.target, each.on_delete) for each in references),
            {name: tuple(sorted(schema.secrets)) for name, schema in schemas.items() if schema.secrets},
        )


class Subject(Protocol):
    """A database, as its backup sees it."""

    __schemas__: ClassVar[dict[str, TableSchema]]
    migrations: ClassVar[Sequence[Migration]]
    backup_folders: ClassVar[tuple[str, ...]]

    def _opened(self) -> Engine: ...

    def _files(self, directory: Path, *, fsync: bool | None = None) -> Files: ...

    @property
    def directory(self) -> Path | None:
        """The store's directory."""


def back_up(
    database: Subject,
    path: str | os.PathLike[str],
    *,
    recipients: Sequence[str] = (),
    passphrase: str | None = None,
    on_progress: OnProgress = lambda _: None,
) -> Backup:
    """Back a database up; see `Database.backup`.

    Args:
        database: open.
        path: a new file, or a folder.
        recipients: public keys to encrypt it for.
        passphrase: to encrypt it with instead.
        on_progress: told the number of bytes captured since the last call; may raise, to end it.
    """
    engine, folders = database._opened(), tuple(database.backup_folders)
    facts = Facts.of(import_name(type(database)), folders, database.__schemas__)
    encryption = encryption_for(recipients, passphrase)
    folder, name = target_of(path, engine.directory, folders)
    migrations = [migration.name for migration in database.migrations]

    def take() -> Capture:
        """Capture the database."""
        return engine.capture(folders, migrations)

    # Synced even if the store isn't: a backup is there for what happens to the machine.
    return write_backup(database._files(folder, fsync=True), name, take, facts, encryption, on_progress)


def store_of(database: Subject) -> str:
    """Return the id of a database's store, by which the names of its backups end."""
    return database._opened().capture((), ()).store


def encryption_for(recipients: Sequence[str], passphrase: str | None) -> Encryption | None:
    """Return how a backup is encrypted; None if it is not. Raises as `Encryption`."""
    if isinstance(recipients, str):
        raise BackupError("recipients are a list of public keys, not one text")
    return Encryption(recipients, passphrase) if recipients or passphrase is not None else None


def target_of(path: str | os.PathLike[str], directory: Path | None, folders: Sequence[str]) -> tuple[Path, str | None]:
    """Return the folder of a backup, absolute, and its name there; None if it is made of time and sequence.

    Args:
        path: a file or a folder, as the user wrote it.
        directory: the store's.
        folders: those in it that go into backups.

    Raises:
        BackupError: the backup would lie among the files of the store, or a folder can't be one.
    """
    for folder in folders:
        if not is_folder_name(folder):
            raise BackupError(f"backup_folders: {folder!r} can't be a folder beside the store's own files")
    target = Path(path).expanduser()
    is_folder = target.is_dir()
    parent = resolve(target if is_folder else target.parent)
    if directory is not None and parent.is_relative_to(directory):
        first, *_ = (*parent.relative_to(directory).parts, "" if is_folder else target.name)
        if first in (names.JOURNAL, names.QUARANTINE, names.SNAPSHOT, names.LOCK, *folders):
            raise BackupError(f"{path} would lie among the store's own files; choose a place outside", path=path)
    return parent, None if is_folder else target.name


class _Vanished(Exception):
    """A file beside the store that was removed before it could be copied."""


def write_backup(
    files: Files,
    name: str | None,
    take: Callable[[], Capture],
    facts: Facts,
    encryption: Encryption | None,
    on_progress: OnProgress = lambda _: None,
) -> Backup:
    """Write a captured state as a backup.

    Args:
        files: the folder that it goes to.
        name: its name there; None for one of time and sequence.
        take: captures the state; called again if files that belong to it were removed meanwhile.
        facts: what the manifest says beside that.
        encryption: how it is encrypted; None if it is not.
        on_progress: told the number of bytes captured since the last call; may raise, to end it.

    Raises:
        BackupError: it could not be made; no file has this name.
    """
    try:
        files.make_directory()
        if name is not None:
            _check_free(files, name)
        for _ in range(ATTEMPTS):
            try:
                return _Attempt(files, name, facts, encryption, on_progress).run(take())
            except _Vanished as error:
                vanished = str(error)
    except (OSError, UnsafeDirectory) as error:
        full = isinstance(error, OSError) and error.errno in DISK_FULL
        hint = "; the disk is full" * full
        raise BackupError(f"the backup could not be made: {error}{hint}", path=files.root) from error
    raise BackupError(
        f"the backup could not be made: files that rows name may be gone, such as {vanished}; they were removed while "
        f"it ran. Let the process that has the store open make it, or try again",
        path=files.root,
    )


def _check_free(files: Files, name: str) -> None:
    if files.identity(name) is not None:
        raise _taken(files, name)


def _taken(files: Files, name: str) -> BackupError:
    path = files.path(name)
    return BackupError(f"{path} is there already; a backup replaces nothing: name another file, or a folder", path=path)


class _Output:
    """The file that is written, its size and its SHA-256."""

    def __init__(self, pending: PendingFile) -> None:
        self._pending = pending
        self._since_writeback = 0
        self.size = 0
        self.digest = sha256()

    def write(self, data: bytes) -> None:
        """Take bytes that follow."""
        self._pending.write([data])
        self.digest.update(data)
        self.size += len(data)
        self._since_writeback += len(data)
        if self._since_writeback >= WRITEBACK_BYTES:
            self._since_writeback = 0
            self._pending.file.start_writeback()


@dataclass(frozen=True)
class _Attempt:
    files: Files
    name: str | None
    facts: Facts
    encryption: Encryption | None
    on_progress: OnProgress

    def run(self, capture: Capture) -> Backup:
        """Write, read back, verify, name."""
        files, temporary = self.files, f"{TEMPORARY}{uuid4().hex}.tmp"
        at = datetime.fromisoformat(capture.at)
        facts = self.facts
        with PendingFile(files, temporary) as pending:
            # 1. All of it, under a temporary name, on the disk.
            output = _Output(pending)
            manifest = Manifest(
                capture.store,
                capture.sequence,
                capture.at,
                facts.models,
                capture.rows,
                facts.folders,
                facts.transient,
                facts.references,
                facts.secret,
            )
            plain, members = self._write(output.write, capture, manifest)
            sync(pending.file.sync)
            pending.file.start_writeback()  # and out of the system's cache: what is read back is what the disk has
            # 2. Read back.
            self._verify(temporary, plain)
            # 3. Its name.
            name = self._publish(pending, capture.store, at, capture.sequence)
        return Backup(
            files.path(name), capture.store, capture.sequence, at, dict(capture.rows), members, output.size,
            output.digest.hexdigest(), self.encryption is not None,
        )  # fmt: skip

    def _publish(self, pending: PendingFile, store: str, at: datetime, sequence: int) -> str:
        """Give the file its name, and return it; nothing is replaced, whoever makes backups here at the same time."""
        for number in count(1):
            name = self.name or name_of(store, at, sequence, encrypted=self.encryption is not None, number=number)
            try:
                pending.publish(name, new=True)
            except FileExistsError:
                if self.name is not None:
                    raise _taken(self.files, name) from None
            else:
                return name
        raise AssertionError

    def _write(self, write: Write, capture: Capture, manifest: Manifest) -> tuple[tuple[int, str], int]:
        """Write the zip; return its size and SHA-256 before encryption, and the number of its files."""
        with ExitStack() as stack:
            if self.encryption is not None:
                write = stack.enter_context(self.encryption.encrypting(write))
            writer = stack.enter_context(ArchiveWriter(write))
            members = 0
            for file in capture.files:
                _check_text(file.name)
                members += 1
                writer.add(file.name, file.size, _present(file.name, file.read()), self.on_progress)
            return writer.finish(manifest), members

    def _verify(self, temporary: str, plain: tuple[int, str]) -> None:
        """Read the file back; raises CorruptBackup, or BackupError, if it is not what was written."""
        path = str(self.files.path(temporary))
        with self.files.open(temporary) as file:
            if self.encryption is None:
                Archive(path, file).verify()
                return
            digest = _Digest()
            self.encryption.decrypt(file, digest.write)
        if (digest.size, digest.sha256.hexdigest()) != plain:
            raise BackupError(f"{path} was read back, and is not what was written; it is removed", path=path)


def _check_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BackupError(f"the backup could not be made: {name!r}: its name is no text; rename it") from None


class _Digest:
    """Size and SHA-256 of bytes that are not kept."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = sha256()

    def write(self, data: bytes) -> None:
        """Take bytes that follow."""
        self.sha256.update(data)
        self.size += len(data)


def _present(name: str, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes; raise _Vanished if it is gone."""
    try:
        yield from content
    except FileNotFoundError:
        raise _Vanished(name) from None
