"""The quarantine: bytes that are set aside, never deleted."""

from snaptable.storage.disk import names
from snaptable.storage.disk.clock import timestamp
from snaptable.storage.disk.files import Files


def keep_bytes(files: Files, name: str, data: bytes) -> str:
    """Keep some bytes in a new file of the quarantine, synced, and return its name."""
    files.make_directory(names.QUARANTINE)
    # Somebody may have put a symlink there since the store was opened.
    files.check_directory(names.QUARANTINE)
    kept = f"{names.QUARANTINE}/{name}-{timestamp().replace(':', '')}"
    file = files.create(kept)
    try:
        file.write([data])
        file.sync()
    finally:
        file.close()
    files.sync_directory(names.QUARANTINE)
    return kept
