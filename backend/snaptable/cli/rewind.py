"""`snaptable rewind --at MOMENT [TABLE [KEY]]`: make rows what they were, as a new commit."""

from snaptable.cli.changing import changing
from snaptable.cli.looking import check_table, looking_at, state_at
from snaptable.cli.reverting import revert
from snaptable.history import Moment
from snaptable.maintenance.point_in_time import CommitsAgo


def run(
    *,
    at: Moment | CommitsAgo,
    table: str | None,
    key: str | None,
    store: str | None,
    schema: str | None,
    note: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Go back: all rows, those of a table, or one; what was done since stays in the history."""
    # The moment is settled once: commits that are made meanwhile don't move it.
    with looking_at(store) as contents:
        past = state_at(contents, at)
        if table is not None and not past.has_table(table):
            check_table(contents, table)
        sequence = past.sequence
    with changing(store, schema) as changer:
        return revert(
            changer, "rewind", yes=yes, dry_run=dry_run, force=False, at=sequence, table=table, key=key, note=note
        )
