"""The quarantine: bytes that are set aside, never deleted."""

from contextlib import suppress

from snaptable.runtime.clock import timestamp
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files


def keep_bytes(files: Files, name: str, data: bytes) -> str:
    """Keep bytes in a new file of the quarantine, and return its name when file and name are on the disk.

    Args:
        files: the store's directory.
        name: how the file's name begins; the time follows.
        data: the bytes.

    Raises:
        OSError: they could not be kept.
        UnsafeDirectory: `quarantine` is not a directory of ours.
    """
    files.make_directory(names.QUARANTINE)
    # It may have been replaced, by a symlink for example, since the store was opened.
    files.check_directory(names.QUARANTINE)
    kept = f"{names.QUARANTINE}/{name}-{timestamp().replace(':', '')}"
    file = files.create(kept)
    try:
        file.write([data])
        file.sync()
        file.close()
    except OSError:
        # Half of the bytes are no use to anybody, and a full disk would gather such files at each attempt.
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            files.remove(kept)
        raise
    files.sync_directory(names.QUARANTINE)
    return kept
