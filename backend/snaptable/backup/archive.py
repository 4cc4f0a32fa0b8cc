"""The format of a backup, written and read here alone: a zip of a store's files, a manifest, a seal over every byte.

    db_snapshot.json  db_journal/<first>.jsonl  <folder>/…    the files, as they stand in the store's directory
    manifest.json                                            what they are: size and SHA-256 of each, and of which store
    the zip's comment                                        its last 64 bytes: the SHA-256 of all bytes before them

JSON is deflated; files of folders, which mostly are compressed already, are stored. The manifest and the seal are
written last, so that a backup is written in one stream, from its first byte to its last. Whoever has no tool of ours
can unpack it: any tool for zips shows what it holds, and a store's directory is what comes out.

A zip holds each name and size twice, and much that is never read. The seal is over all of it: a byte that changed
anywhere is found, and so is a file that was cut off or added to.
"""

import io
import json
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, BinaryIO, Self, cast

from snaptable.errors import CorruptBackup

FORMAT = 1
MANIFEST = "manifest.json"
SNAPSHOT = "db_snapshot.json"
_JOURNAL_FILE = re.compile(r"db_journal/[1-9][0-9]{0,18}\.jsonl")
_SEAL = b"snaptable backup, sealed by the SHA-256 of every byte before: "
_DIGEST_BYTES = 64
_COMPRESSION = 1
"""Of deflate: twice as fast as the usual 6, and 15 % larger for such JSON."""
CHUNK = 1 << 20
_MANIFEST_BYTES, _MANIFEST_RATIO = 16 << 20, 20
"""Bytes of a manifest, and times of its compressed ones, that it may have: digests can't be compressed to less."""
_LARGE = zipfile.ZIP64_LIMIT // 2
"""Bytes from which on a file is written with sizes of 64 bits: it may have grown since it was looked at."""
_BROKEN_ZIP = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, LookupError, TypeError,
    AttributeError, OverflowError,
)  # fmt: skip
"""What is raised for bytes that are no sound zip, or no manifest."""

OnProgress = Callable[[int], object]
"""Told the number of bytes done since the last call; may raise, to end it."""


@dataclass(frozen=True)
class Member:
    """A file of a backup, as its manifest has it."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        store: id of the store.
        sequence: the commit whose state it is.
        made_at: the time, in UTC, as files spell it.
        models: the Database class as `module:Class`; "" if it can't be imported by a name.
        rows: number of rows, by table.
        folders: the names of the folders beside the store's own files.
        transient: the tables that a restore empties.
        secret: the fields that are never shown, by table.
        references: each foreign key: table, field, the table that it is of, and what a deletion there does.
        members: its files, by name.
    """

    store: str
    sequence: int
    made_at: str
    models: str
    rows: Mapping[str, int]
    folders: tuple[str, ...] = ()
    transient: tuple[str, ...] = ()
    references: tuple[tuple[str, str, str, str], ...] = ()
    secret: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: Mapping[str, Member] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return it as it stands in the zip."""
        return json.dumps({"snaptable_backup": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False).encode() + b"\n"


# ── encode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Sealed(io.RawIOBase):
    """A stream that puts the SHA-256 of all bytes before its last 64 into their place when it ends.

    Attributes:
        size: bytes written.
        digest: SHA-256 of all of them, the seal included.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write
        self._tail = b""
        self._sum = sha256()
        self.digest = sha256()
        self.size = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write all but the last bytes, of which it isn't known yet whether more follow."""
        count = len(data)
        # Most writes are large: their end is kept back, the rest passed on without another copy.
        joined = self._tail + bytes(data)
        self._pass_on(joined[:-_DIGEST_BYTES])
        self._tail = joined[-_DIGEST_BYTES:]
        return count

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._sum.update(data)
            self._emit(data)

    def _emit(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self._write(data)

    def mute(self) -> None:
        """Drop what is written from here on: a zip that is given up writes its end all the same."""
        self._write = lambda _: None

    def finish(self) -> None:
        """Write the seal."""
        self._emit(self._sum.hexdigest().encode())


class ArchiveWriter:
    """A backup that is being written, in one stream."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """Begin; `write` takes the bytes, in order."""
        self._stream = _Sealed(write)
        self._zip = zipfile.ZipFile(cast("BinaryIO", self._stream), "w", compresslevel=_COMPRESSION)
        self._zip.comment = _SEAL + b"0" * _DIGEST_BYTES
        self._members: dict[str, Member] = {}

    def add(self, name: str, size: int, content: Iterable[bytes], on_progress: OnProgress) -> None:
        """Add a file.

        Args:
            name: its name, with `/` between folders.
            size: its size, about.
            content: its bytes, in parts.
            on_progress: told of them.
        """
        digest, count = sha256(), 0
        self._zip.compression = zipfile.ZIP_DEFLATED if _is_json(name) else zipfile.ZIP_STORED
        with self._zip.open(name, "w", force_zip64=size > _LARGE) as file:
            for part in content:
                file.write(part)
                digest.update(part)
                count += len(part)
                on_progress(len(part))
        self._members[name] = Member(count, digest.hexdigest())

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write nothing more; a backup that was not finished is none."""
        self._stream.mute()
        with suppress(*_BROKEN_ZIP, OSError):
            self._zip.close()

    def finish(self, manifest: Manifest) -> tuple[int, str]:
        """Write the manifest, with what was added, and the seal; return the size of the backup, and its SHA-256."""
        complete = Manifest(**{**vars(manifest), "members": dict(self._members)})
        self._zip.compression = zipfile.ZIP_DEFLATED
        self._zip.writestr(MANIFEST, complete.encode())
        self._zip.close()
        self._stream.finish()
        return self._stream.size, self._stream.digest.hexdigest()


def _is_json(name: str) -> bool:
    return name in (MANIFEST, SNAPSHOT) or _JOURNAL_FILE.fullmatch(name) is not None


# ── decode ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Archive:
    """A backup whose every byte was verified.

    Attributes:
        manifest: what it says of itself.
    """

    def __init__(self, path: str, file: BinaryIO, on_progress: OnProgress = lambda _: None) -> None:
        """Verify the seal, and read the manifest; O(size).

        Args:
            path: for messages.
            file: its bytes; seekable.
            on_progress: told of them.

        Raises:
            CorruptBackup: it is not as it was written, or of a newer format.
            OSError: it can't be read.
        """
        self._path = path
        _check_seal(path, file, on_progress)
        try:
            self._zip = zipfile.ZipFile(file)
            self.manifest = self._read_manifest()
        except _BROKEN_ZIP as error:
            raise self._corrupt(f"it is no zip that can be read: {error}") from None
        self._check_names()

    def _read_manifest(self) -> Manifest:
        info = self._zip.getinfo(MANIFEST)
        if info.file_size > max(_MANIFEST_BYTES, _MANIFEST_RATIO * info.compress_size):
            raise self._corrupt("its manifest is larger than that of any store")
        plain = json.loads(self._zip.read(MANIFEST))
        number = plain["snaptable_backup"]
        if number != FORMAT:
            raise self._corrupt(f"it has format {number}; this version reads format {FORMAT}")
        members = {str(name): Member(int(each["size"]), str(each["sha256"])) for name, each in plain["members"].items()}
        return Manifest(
            str(plain["store"]),
            int(plain["sequence"]),
            str(plain["made_at"]),
            str(plain["models"]),
            {str(table): int(count) for table, count in plain["rows"].items()},
            tuple(map(str, plain["folders"])),
            tuple(map(str, plain["transient"])),
            tuple((str(table), str(name), str(target), str(does)) for table, name, target, does in plain["references"]),
            {str(table): tuple(map(str, names)) for table, names in plain["secret"].items()},
            members,
        )

    def _check_names(self) -> None:
        """Check that the zip holds the files that its manifest names, and that each may be unpacked where it says.

        Whoever can write a backup can seal it: a name must not lead out of the directory that it is unpacked to.
        """
        names, known = self._zip.namelist(), self.manifest.members
        if sorted(names) != sorted((*known, MANIFEST)) or SNAPSHOT not in known:
            raise self._corrupt("it holds other files than its manifest names")
        for name in known:
            if not (name == SNAPSHOT or _JOURNAL_FILE.fullmatch(name) or self._is_beside(name)):
                raise self._corrupt(f"it holds a file that doesn't belong to a store: {name!r}")
        for name in self.manifest.folders:
            if not is_folder_name(name):
                raise self._corrupt(f"it names a folder that can't be beside a store's own files: {name!r}")
        if len({name.casefold() for name in names}) != len(names) and _folds_case():
            raise self._corrupt("two of its files would be one here, where names are compared without case")

    def _is_beside(self, name: str) -> bool:
        parts = name.split("/")
        is_plain = all(part not in ("", ".", "..") and not _FORBIDDEN.search(part) for part in parts)
        return is_plain and is_folder_name(parts[0]) and parts[0] in self.manifest.folders and len(parts) > 1

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes; O(size).

        Raises:
            CorruptBackup: at the end, if they are not those that the manifest speaks of.
        """
        expected, digest, count = self.manifest.members[name], sha256(), 0
        try:
            with self._zip.open(name) as file:
                while data := file.read(CHUNK):
                    digest.update(data)
                    count += len(data)
                    if count > expected.size:
                        break
                    yield data
        except _BROKEN_ZIP as error:
            raise self._corrupt(f"{name} can't be unpacked: {error}") from None
        if (count, digest.hexdigest()) != (expected.size, expected.sha256):
            raise self._corrupt(f"{name} is not what the manifest speaks of")

    def verify(self, on_progress: OnProgress = lambda _: None) -> None:
        """Read every file; raises as `read`. O(size)."""
        for name in self.manifest.members:
            for part in self.read(name):
                on_progress(len(part))

    def _corrupt(self, reason: str) -> CorruptBackup:
        return corrupt(self._path, reason)


_FORBIDDEN = re.compile(r"[\0\\:]" if os.name == "nt" else r"\0")
"""What no part of a name may hold where it would lead elsewhere."""
_OWN_FOLDERS = ("db_journal", "quarantine", SNAPSHOT, "db.lock", MANIFEST)


def _folds_case() -> bool:
    return sys.platform in ("darwin", "win32")


def is_folder_name(name: str) -> bool:
    """Return whether a folder of this name may be beside a store's own files."""
    is_plain = name not in ("", ".", "..") and "/" not in name and _FORBIDDEN.search(name) is None
    return is_plain and not name.startswith(".") and name.casefold() not in _OWN_FOLDERS


def _check_seal(path: str, file: BinaryIO, on_progress: OnProgress) -> None:
    """Check the last 64 bytes against all those before them."""
    digest, tail = sha256(), b""
    while data := file.read(CHUNK):
        joined = tail + data
        digest.update(joined[:-_DIGEST_BYTES])
        tail = joined[-_DIGEST_BYTES:]
        on_progress(len(data))
    if tail != digest.hexdigest().encode():
        raise corrupt(path, "its seal, the SHA-256 at its end, is not that of its bytes")
    file.seek(0)


def corrupt(path: str, reason: str) -> CorruptBackup:
    """Return the error for a file that is not a backup as it was written."""
    return CorruptBackup(f"{path} is damaged, cut off, or no backup: {reason}; nothing of it was used", path=path)
