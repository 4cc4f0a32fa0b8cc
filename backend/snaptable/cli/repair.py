"""`snaptable repair DIR`: make a damaged store open again, as far as that is safe, after saying how."""

from collections.abc import Iterator, Sequence

from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    ask,
    describe_counts,
    output,
    say,
)
from snaptable.errors import listed
from snaptable.maintenance.directory import JOURNAL, QUARANTINE, SNAPSHOT, StoreDirectory
from snaptable.maintenance.losses import CommitSummary, Losses
from snaptable.maintenance.repair import carry_out
from snaptable.maintenance.salvage import RepairPlan, Unrepairable, plan_repair, verify_opens

MAX_KEYS = 20
"""Keys that are named of each table that a lost commit changed."""


def run(*, store: str, yes: bool, dry_run: bool, discard_edit: bool) -> int:
    """Plan, explain, ask, repair; return 0 if the store opens now."""
    directory = StoreDirectory(store)
    try:
        if dry_run:
            plan = plan_repair(directory.files, discard_edit=discard_edit)
            _explain(directory, plan)
            _finish(plan, done=False)
            return EXIT_SOUND
        with directory.locked():
            plan = plan_repair(directory.files, discard_edit=discard_edit)
            _explain(directory, plan)
            if not plan.is_needed:
                _finish(plan, done=False)
                return EXIT_SOUND
            if not ask("Go on?", yes=yes):
                return EXIT_FAILED
            for name in carry_out(directory.files, plan):
                say(f"  kept      {name}")
    except Unrepairable as error:
        _explain_refusal(directory, error)
        return EXIT_FAILED
    say(f"Done: the store opens. See for yourself: {directory.command('check')}")
    _finish(plan, done=True)
    return EXIT_SOUND


def _finish(plan: RepairPlan, *, done: bool) -> None:
    """Write the plan for programs."""
    if output().as_json:
        lost = sorted({commit.sequence for commit in (*plan.losses.whole, *plan.losses.damaged)})
        steps = list(_steps_of(plan)) if plan.is_needed else []
        told = {"needed": plan.is_needed, "done": done, "steps": steps, "sequence": plan.store.sequence}
        gaps = [list(gap) for gap in plan.losses.gaps]
        output().document(told | {"rows": plan.store.counts(), "lost": lost, "lost_between": gaps})


def _explain_refusal(directory: StoreDirectory, reason: Unrepairable) -> None:
    say(f"{directory.root}: nothing that could be done is safe; nothing was changed.")
    say(f"  {reason}")
    say("  Put a copy of the snapshot back. A damaged line can also be mended in an editor:")
    say(f"  {directory.command('check')} names it, {directory.command('accept')} takes it over.")
    say(f"  To start afresh, move {SNAPSHOT} and {JOURNAL} away.")
    if output().as_json:
        output().document({"needed": True, "done": False, "reason": str(reason)})


def _explain(directory: StoreDirectory, plan: RepairPlan) -> None:
    """Print what a repair would do."""
    if not plan.is_needed:
        verify_opens(directory.files)
        say(f"{directory.root}: nothing to repair; the store opens at sequence {plan.store.sequence}.")
        return
    say(f"{directory.root}: this would be done")
    for step in _steps_of(plan):
        say(f"  - {step}")
    say(f"  result    sequence {plan.store.sequence}, {describe_counts(plan.store.counts())}; from {plan.origin}")
    _print_losses(plan.losses)
    if plan.damaged_line is not None:
        say(f"Was {SNAPSHOT} edited by hand? Its line {plan.damaged_line} is damaged, and a repair drops the edit.")
        say(f"To keep the edit, mend the line and call {directory.command('accept')}")


def _steps_of(plan: RepairPlan) -> Iterator[str]:
    kept = f"its bytes are kept in {QUARANTINE}/"
    if plan.writes_snapshot:
        state = "it is not whole" if plan.is_snapshot_damaged else "it is older"
        former = "" if plan.replaced is None else f" ({state}); {kept}"
        yield f"{SNAPSHOT} is written anew, at sequence {plan.store.sequence}{former}"
    if plan.cut:
        segment, end = plan.cut
        what = "damaged, or not to be applied" if segment.damage else "the end of a write that was never acknowledged"
        size = len(segment.data) - end
        yield f"{segment.name} is cut at byte {end}; the {size} bytes behind are {what}: they are kept"
    for segment in plan.quarantined:
        yield f"{segment.name} is set aside ({plan.why_quarantined(segment)}); {kept}"
    for name in plan.leftovers:
        yield f"{name}, which was never finished, is set aside; {kept}"


def _print_losses(losses: Losses) -> None:
    if not losses:
        say("  No acknowledged commit is lost by this.")
        return
    say("Commits that can't be saved:")
    commits = [(commit, "") for commit in losses.whole]
    commits += [(commit, " (damaged: what is left of it says so)") for commit in losses.damaged]
    for commit, doubt in sorted(commits, key=lambda item: item[0].sequence):
        say(f"  sequence {_describe_commit(commit)}{doubt}")
    for first, last in losses.gaps:
        which = f"sequence {first}" if first == last else f"sequences {first} to {last}"
        say(f"  {which}: nothing readable is left")


def _describe_commit(commit: CommitSummary) -> str:
    tables = (f"{table} {_describe_keys(keys)}" for table, keys in commit.rows.items())
    return f"{commit.sequence}, {commit.at}: {'; '.join(tables)}"


def _describe_keys(keys: Sequence[str]) -> str:
    return ", ".join(listed([repr(key) for key in keys], MAX_KEYS))
