"""A repair carried out: every byte that goes is kept in the quarantine first, and each step survives a crash behind it.

Until the last step the store is refused as before, or is as it will be; repairing it again after a crash ends the same.
"""

from snaptable.maintenance.salvage import RepairPlan
from snaptable.maintenance.shared_steps import quarantine_once, verify_result, write_snapshot
from snaptable.storage.disk import names
from snaptable.storage.disk.files import Files
from snaptable.storage.journal import directory as journal_directory


def carry_out(files: Files, plan: RepairPlan) -> list[str]:
    """Do what a plan says, with the lock held; return the names under which bytes were kept.

    Raises:
        OSError: a step failed; calling the command again completes the repair.
        OpenError: what is left would not open after all; nothing was lost, all of it is in the quarantine.
    """
    # 1. Keep every byte that will go.
    kept = [quarantine_once(files, name, data) for name, data in _bytes_that_go(files, plan).items()]
    # 2. Write the state, whole, as a new snapshot: from here on nothing that is needed is in a file that goes.
    if plan.writes_snapshot:
        write_snapshot(files, plan.store)
    # 3. Cut what is behind the end of the file that stays. The files behind it go later: without them it would count.
    if plan.cut:
        segment, end = plan.cut
        journal_directory.rewrite(files, segment.first, files.read(segment.name)[:end])
    # 4. Remove the files that go.
    journal_directory.remove(files, [segment.first for segment in plan.quarantined])
    for name in plan.leftovers:
        files.remove(name)
    files.sync_directory()
    # 5. Verify that the store opens with this state.
    verify_result(files, plan.store)
    return kept


def _bytes_that_go(files: Files, plan: RepairPlan) -> dict[str, bytes]:
    """Return what a plan cuts, replaces or removes, by the name under which it is kept."""
    kept = {names.segment(segment.first): segment.data for segment in plan.quarantined}
    if plan.replaced is not None:
        kept[f"{'damaged' if plan.is_snapshot_damaged else 'former'}-{names.SNAPSHOT}"] = plan.replaced
    if plan.cut:
        segment, end = plan.cut
        kept[f"{names.segment(segment.first)}-cut"] = segment.data[end:]
    for name in plan.leftovers:
        kept[f"leftover{name.rpartition('/')[2]}"] = files.read(name)
    return kept
