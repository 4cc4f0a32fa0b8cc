"""A repair carried out: every byte that goes is kept in the quarantine first, and each step survives a crash behind it.

Until the last step the store is refused as before, or is as it will be; doing it again after a crash ends the same.
"""

from collections.abc import Mapping

from snaptable.errors import CorruptJournal
from snaptable.maintenance.salvage import RepairPlan
from snaptable.maintenance.untyped import UntypedStore, recover_untyped
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.quarantine import keep_bytes
from snaptable.storage.journal import directory as journal_directory
from snaptable.storage.snapshot.checkpointer import Checkpointer


def carry_out(files: Files, plan: RepairPlan) -> list[str]:
    """Do what a plan says, with the lock held; return the names under which bytes were kept.

    Raises:
        OSError: a step failed; calling the command again goes on from there.
        OpenError: what is left would not open after all; nothing was lost, all of it is in the quarantine.
    """
    raw = plan.raw
    assert raw is not None
    # 1. Every byte that will go, kept.
    kept = [keep(files, name, data) for name, data in _goes(files, plan).items()]
    # 2. The state, whole, in a new snapshot: from here on no journal file that goes holds anything that is needed.
    if plan.replace:
        save(files, raw)
    # 3. What lies behind the end of the file that stays; before the files behind it go, or it would come to life.
    if plan.cut:
        piece, end = plan.cut
        journal_directory.rewrite(files, piece.first, files.read(piece.name)[:end])
    # 4. Files that go.
    journal_directory.remove(files, [piece.first for piece in plan.aside])
    for name in plan.leftovers:
        files.remove(name)
    files.sync_directory()
    # 5. The proof.
    prove(files, raw)
    return kept


def _goes(files: Files, plan: RepairPlan) -> Mapping[str, bytes]:
    goes = {names.segment(piece.first): piece.data for piece in plan.aside}
    if plan.former is not None:
        goes[f"{'damaged' if plan.damaged else 'former'}-{names.SNAPSHOT}"] = plan.former
    if plan.cut:
        piece, end = plan.cut
        goes[f"{names.segment(piece.first)}-cut"] = piece.data[end:]
    for name in plan.leftovers:
        goes[f"leftover{name.rpartition('/')[2]}"] = files.read(name)
    return goes


def keep(files: Files, name: str, data: bytes) -> str:
    """Keep bytes in the quarantine, unless they are there already under such a name; return the name."""
    for known in files.list(names.QUARANTINE):
        path = f"{names.QUARANTINE}/{known}"
        if known.startswith(f"{name}-") and files.read(path) == data:
            return path
    return keep_bytes(files, name, data)


def save(files: Files, raw: UntypedStore) -> None:
    """Write a state as the snapshot, and return when it is on the disk."""
    store = raw.state.store
    assert store is not None
    saver = Checkpointer(files, store, raw.pages, "always")
    saver.begin(raw.state.sequence, raw.state.tip, None, 0, None)
    saver.save()


def prove(files: Files, raw: UntypedStore) -> None:
    """Make sure that the store opens with exactly this state."""
    found = files.read(names.SNAPSHOT)
    again = recover_untyped(files, found)
    if (again.state.sequence, again.state.tip) != (raw.state.sequence, raw.state.tip):
        raise CorruptJournal(
            f"{files.root} opens at sequence {again.state.sequence}, not at {raw.state.sequence}; nothing is lost, "
            f"every byte is in {names.QUARANTINE}"
        )
