"""New content under a name, in one step that a crash can't halve: written beside, synced, renamed, name synced.

The one way in which the store gives a file its content: snapshots, new journal segments, and segments that are written
anew after a crash.
"""

from collections.abc import Callable, Iterable, Sequence

from snaptable.storage.disk.files import File, Files, Identity, sync


def publish(files: Files, temporary: str, name: str, buffers: Sequence[bytes]) -> None:
    """Give a name new content, and return when that, and the name, is on the disk.

    Args:
        files: the store's directory.
        temporary: an unguessable name in the same folder.
        name: the name; what it leads to now is replaced.
        buffers: the content.

    Raises:
        OSError: nothing happened: what the name led to is there, untouched.
        SyncFailed: of the file: likewise. Of the folder: either is there, whole.
    """
    put(files, temporary, name, [buffers])
    sync(files.sync_directory, name.rpartition("/")[0])


def put(
    files: Files,
    temporary: str,
    name: str,
    chunks: Iterable[Sequence[bytes]],
    *,
    size: int = 0,
    hold: bool = False,
    pace: Callable[[File], None] = File.push,
) -> tuple[File, Identity]:
    """Give a name new content that is on the disk; whether the name leads there is not until the folder is synced.

    Args:
        files: the store's directory.
        temporary: an unguessable name in the same folder.
        name: the name; what it leads to now is replaced.
        chunks: the content, made while it is written.
        size: bytes that it will have at the least.
        hold: whether to leave the file open, where the system allows that.
        pace: called after each chunk but the last.

    Raises:
        OSError, SyncFailed: nothing happened: what the name led to is there, untouched.
    """
    # 1. A new file, under a name nobody can have planted.
    file = files.create(temporary)
    try:
        # 2. The content, on the disk before it has the name.
        if size >= files.large:
            _reserve(file, size)
        for number, chunk in enumerate(chunks):
            if number:
                pace(file)
            file.write(chunk)
        sync(file.sync)
        identity = file.identity()
        if not (hold and files.can_hold):
            file.close()
        # 3. The name, in one step.
        files.replace(temporary, name)
    except BaseException:
        _discard(files, file, temporary)
        raise
    return file, identity


def _reserve(file: File, size: int) -> None:
    try:
        file.reserve(0, size)
    except OSError:
        return  # not every system offers it; what has no room fails as it is written


def _discard(files: Files, file: File, temporary: str) -> None:
    """Close and remove a file that never got its name; the next start removes what can't be removed now."""
    for step in (file.close, lambda: files.remove(temporary)):
        try:
            step()
        except OSError:
            continue
