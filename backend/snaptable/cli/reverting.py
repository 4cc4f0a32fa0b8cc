"""What undo and rewind share: what would be done, the question, what was done."""

from collections import Counter
from collections.abc import Sequence

from snaptable import UndoConflict
from snaptable.cli.changing import Changer, Shape, write_document
from snaptable.cli.common import EXIT_FAILED, EXIT_REFUSED, EXIT_SOUND, ask, describe_number, output, say
from snaptable.cli.output import plain, quoted, shown
from snaptable.control.client import Refused
from snaptable.control.shapes import conflict_shapes

MOST_SHOWN = 10
"""Rows and conflicts that are shown."""
_KINDS = {"delete": "remove", "insert": "put back", "replace": "change"}
_SIGNS = {"insert": ("+", "added"), "replace": ("~", "changed"), "delete": ("-", "removed")}


def revert(changer: Changer, operation: str, *, yes: bool, dry_run: bool, force: bool, **given: object) -> int:
    """Say what would be done, ask, do it, and say what was done.

    Returns:
        0 done, or nothing but said; 1 nothing to do, or declined; 4 something is in the way.
    """
    # 1. What would be done, and what is in the way: constraints are, whatever is forced.
    plan = changer.perform(operation, dry_run=True, force=force, **given)
    conflicts = plan["conflicts"]
    blocking = [each for each in conflicts if not force or each["kind"] not in ("changed since", "key taken")]
    _say_plan(plan, forced=force)
    if blocking:
        write_document(plan, changer, dry_run=True)
        return EXIT_REFUSED
    if not plan["rows"]:
        say("There is nothing to do: it is as it was already.")
        write_document(plan, changer, dry_run=True)
        return EXIT_FAILED
    if dry_run:
        write_document(plan, changer, dry_run=True)
        return EXIT_SOUND
    # 2. Whether it is wanted.
    if not ask("Do it?", yes=yes):
        return EXIT_FAILED
    # 3. Done, or not: another program may have written meanwhile.
    try:
        done = changer.perform(operation, force=force, **given)
    except (Refused, UndoConflict) as error:
        shapes = error.conflicts if isinstance(error, Refused) else conflict_shapes(error.conflicts)
        say(f"{describe_number(len(shapes), 'conflict')}; nothing was written:")
        _say_conflicts(shapes, forced=force)
        write_document({**plan, "conflicts": shapes, "commit": None}, changer, dry_run=False)
        return EXIT_REFUSED
    say(f"Done: commit #{done['commit']}{changer.by_whom}.")
    write_document(done, changer, dry_run=False)
    return EXIT_SOUND


def _say_plan(plan: Shape, *, forced: bool) -> None:
    """Say what would be done: numbers by table, the first rows, every conflict."""
    counts = {kind: Counter(row["table"] for row in plan["rows"] if row["kind"] == kind) for kind in _KINDS}
    totals = {"delete": plan["removes"], "insert": plan["puts_back"], "replace": plan["changes"]}
    parts = [f"{verb} {_of_tables(counts[kind], totals[kind])}" for kind, verb in _KINDS.items()]
    conflicts = plan["conflicts"]
    behind = f"   {describe_number(len(conflicts), 'conflict')}:" if conflicts else ""
    say(f"Would {', '.join(parts)}.{behind}")
    _say_conflicts(conflicts, forced=forced)
    for row in plan["rows"][:MOST_SHOWN]:
        say(f"  {_described(row)}")
    left = sum(totals.values()) - min(len(plan["rows"]), MOST_SHOWN)
    if left:
        say(f"  … and {left:,} more")


def _of_tables(counts: Counter[str], total: int) -> str:
    """Return how many rows, by table; of very many only how many."""
    if total and sum(counts.values()) == total:
        return " and ".join(f"{count:,} {plain(table)}" for table, count in counts.items())
    return f"{total:,}"


def _described(row: Shape) -> str:
    sign, style = _SIGNS[row["kind"]]
    head = output().styled(f"{sign} {plain(row['table'])} {shown(str(row['key']))}", style)
    if row["kind"] != "replace":
        return head
    before, after = row["before"], row["after"]
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    fields = [f"{plain(name)}  {quoted(before.get(name))} → {quoted(after.get(name))}" for name in names]
    return "   ".join([head, *fields])


def _say_conflicts(conflicts: Sequence[Shape], *, forced: bool) -> None:
    for each in conflicts[:MOST_SHOWN]:
        by = f" by #{each['by']}" if each["by"] is not None else ""
        other = f" ({plain(each['other'][0])} {shown(str(each['other'][1]))})" if each["other"] else ""
        values = (
            f": {quoted(each['then'])} → {quoted(each['now'])}" if each["field"] and each["kind"] != "unique" else ""
        )
        field = f"  {plain(each['field'])}" if each["field"] else ""
        place = f"{plain(each['table'])} {shown(str(each['key']))}{field}"
        can_force = each["kind"] in ("changed since", "key taken")
        advice = "        overridden" if can_force and forced else "        --force overrides" if can_force else ""
        say(f"  {place}  {each['kind']}{by}{other}{values}{output().styled(advice, 'dim')}")
    if len(conflicts) > MOST_SHOWN:
        say(f"  … and {len(conflicts) - MOST_SHOWN:,} more conflicts")
