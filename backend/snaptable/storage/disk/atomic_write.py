"""New content under a name, in one step that a crash can't halve: written beside, synced, renamed, the name synced.

The one way in which a file gets its content, for snapshots, journal segments, and any code that has a `Files`. After a
crash at any instant the name stands for the old content or the new one, whole (the protocol is the one of Pillai et
al., "All File Systems Are Not Created Equal", OSDI 2014). If all of the content is at hand:

    replace_durably(files, names.temporary(), "db_snapshot.json", [header, body])

If it comes in pieces, of which the name may depend (blobs named by their hash, uploads that may be refused half-way):

    with PendingFile(files, f".incoming-{uuid4().hex}") as pending:    # created exclusively, 0600
        for chunk in source:
            digest.update(chunk)
            pending.write([chunk])
        pending.publish(digest.hexdigest())                            # returns when content and name are on the disk
                                                                       # left without `publish`: discarded

The temporary name is in the same folder as the final one; make it unguessable. What a crash leaves is a file of a
temporary name: the next start removes those.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Self

from snaptable.storage.disk.files import File, Files, Identity, sync


class PendingFile:
    """A new file under a temporary name, until it is published under its final one, or discarded.

    Used with `with`, it is discarded at the end of the block unless it was published.
    """

    def __init__(self, files: Files, temporary: str, *, size: int = 0) -> None:
        """Create the file exclusively, readable by its owner only.

        Args:
            files: the directory.
            temporary: an unguessable name, in the folder of the final name.
            size: the number of bytes it will have at least, as far as known.

        Raises:
            OSError: it could not be created; nothing is left.
        """
        self._files, self._temporary = files, temporary
        self.file = files.create(temporary)
        self._pending = True
        self._identity: Identity | None = None
        """What the file is, once it was synced and closed."""
        if size >= files.preallocate_from:
            self._preallocate(size)

    def _preallocate(self, size: int) -> None:
        try:
            self.file.preallocate(0, size)
        except OSError:
            return  # not offered by every file system; if the disk is full, writing fails and says so

    def write(self, buffers: Sequence[bytes]) -> None:
        """Append the buffers.

        Raises:
            OSError: not all of them were written.
        """
        self.file.write(buffers)

    def rename(self, name: str, *, new: bool = False) -> Identity:
        """Sync the content and give the file its final name; the name itself may be lost in a power cut.

        Call `files.sync_directory` to make the name durable.

        Args:
            name: replaced if it exists.
            new: let nothing be replaced: FileExistsError, behind which `rename` with another name works.

        Raises:
            OSError, SyncFailed: the name stands for what it stood for before; `discard` removes the file.
        """
        # 1. The content is on the disk before it has the name.
        if self._identity is None:
            sync(self.file.sync)
            identity = self.file.identity()
            self.file.close()
            self._identity = identity
        # 2. The name, in one step.
        (self._files.rename_new if new else self._files.replace)(self._temporary, name)
        self._pending = False
        return self._identity

    def publish(self, name: str, *, new: bool = False) -> Identity:
        """Give the file its final name, and return when content and name are on the disk; arguments as of `rename`.

        Raises:
            OSError: the name stands for what it stood for before.
            SyncFailed: of the content: likewise. Of the folder: the name stands for either content, whole.
        """
        identity = self.rename(name, new=new)
        sync(self._files.sync_directory, name.rpartition("/")[0])
        return identity

    def discard(self) -> None:
        """Close and remove the file, unless it has its final name; never raises.

        A file that can't be removed now is removed by the next start.
        """
        if not self._pending:
            return
        self._pending = False
        for step in (self.file.close, lambda: self._files.remove(self._temporary)):
            try:
                step()
            except OSError:
                continue

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Discard the file, unless it was published."""
        self.discard()


def replace_durably(files: Files, temporary: str, name: str, buffers: Sequence[bytes]) -> None:
    """Give a name new content, and return when content and name are on the disk; raises as `PendingFile.publish`.

    Args:
        files: the directory.
        temporary: an unguessable name in the same folder.
        name: replaced if it exists.
        buffers: the content.
    """
    replace(files, temporary, name, [buffers])
    sync(files.sync_directory, name.rpartition("/")[0])


def replace(
    files: Files,
    temporary: str,
    name: str,
    chunks: Iterable[Sequence[bytes]],
    *,
    size: int = 0,
    pace: Callable[[File], None] = File.start_writeback,
) -> Identity:
    """Give a name new content that is on the disk; the name itself is durable after `files.sync_directory`.

    Args:
        files: the directory.
        temporary: an unguessable name in the same folder.
        name: replaced if it exists.
        chunks: the content, made while it is written.
        size: the number of bytes it will have at least.
        pace: called after each chunk but the last.

    Raises:
        OSError, SyncFailed: the name stands for what it stood for before.
    """
    with PendingFile(files, temporary, size=size) as pending:
        for number, chunk in enumerate(chunks):
            if number:
                pace(pending.file)
            pending.write(chunk)
        return pending.rename(name)
