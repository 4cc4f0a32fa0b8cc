"""The steps that a repair and an accepted edit share: bytes kept, a snapshot written, the result verified."""

from snaptable.errors import CorruptJournal
from snaptable.maintenance.untyped import UntypedStore, recover_untyped
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.snapshot.checkpointer import Checkpointer


def quarantine_once(files: Files, name: str, data: bytes) -> str:
    """Keep bytes in the quarantine, unless they are there already under such a name; return the name."""
    for known in files.list(names.QUARANTINE):
        path = f"{names.QUARANTINE}/{known}"
        if known.startswith(f"{name}-") and files.read(path) == data:
            return path
    return keep_bytes(files, name, data)


def write_snapshot(files: Files, store: UntypedStore) -> None:
    """Write a state as the snapshot, and return when it is on the disk.

    Raises:
        OSError: the old snapshot is in its place.
    """
    assert store.id is not None
    Checkpointer(
        files, store.id, store.pages, sequence=store.sequence, head_digest=store.head_digest, clock=store.clock()
    ).checkpoint()


def verify_result(files: Files, store: UntypedStore) -> None:
    """Verify that the directory opens with exactly this state.

    Raises:
        OpenError: it doesn't; every byte that was there is in the quarantine.
    """
    opened = recover_untyped(files, files.read(names.SNAPSHOT))
    if (opened.sequence, opened.head_digest) != (store.sequence, store.head_digest):
        raise CorruptJournal(
            f"{files.root} opens at sequence {opened.sequence}, not at {store.sequence}; nothing is lost, "
            f"every byte is in {names.QUARANTINE}",
            path=files.root,
        )
