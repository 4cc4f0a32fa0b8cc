"""New content under a name, in one step that a crash can't halve: written beside, synced, renamed, name synced.

The one way in which the store gives a file its content: snapshots, new journal segments, and segments that are written
anew after a crash.
"""

from collections.abc import Callable, Sequence

from snaptable.storage.files import File, Files, Identity, sync


def publish(
    files: Files, temporary: str, name: str, buffers: Sequence[bytes], renamed: Callable[[Identity], None] | None = None
) -> None:
    """Give a name new content, and return when that is on the disk.

    Args:
        files: the store's directory.
        temporary: an unguessable name in the same folder.
        name: the name; what it leads to now is replaced.
        buffers: the content.
        renamed: told the new file's identity as soon as it has the name.

    Raises:
        OSError: nothing happened: what the name led to is there, untouched.
        SyncFailed: of the file: likewise. Of the folder: either is there, whole.
    """
    # 1. A new file, under a name nobody can have planted.
    file = files.create(temporary)
    try:
        # 2. The content, on the disk before it has the name.
        file.write(buffers)
        sync(file.sync)
        identity = file.identity()
        file.close()
        # 3. The name, in one step.
        files.replace(temporary, name)
    except BaseException:
        _discard(files, file, temporary)
        raise
    if renamed is not None:
        renamed(identity)
    # 4. The name, on the disk.
    sync(files.sync_directory, name.rpartition("/")[0])


def _discard(files: Files, file: File, temporary: str) -> None:
    """Close and remove a file that never got its name; the next start removes what can't be removed now."""
    for step in (file.close, lambda: files.remove(temporary)):
        try:
            step()
        except OSError:
            continue
