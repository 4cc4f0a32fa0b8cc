"""`snaptable diff [A [B]]`: in which rows two states differ."""

from contextlib import ExitStack
from pathlib import Path

from snaptable.cli.commits_shown import write_changes
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, output
from snaptable.cli.looking import WantedState, check_table, looking_at, state_at
from snaptable.control.shapes import change_shape
from snaptable.maintenance.point_in_time import CommitsAgo
from snaptable.maintenance.raw_opening import opened
from snaptable.maintenance.raw_store import RawStore


def run(*, first: WantedState | None, second: WantedState | None, store: str | None, tables: tuple[str, ...]) -> int:
    """Write the rows that differ; return 1 if there are any, as diff does."""
    out = output()
    with ExitStack() as stack:
        own = None
        if not (isinstance(first, Path) and isinstance(second, Path)):
            own = stack.enter_context(looking_at(store))

        def state(wanted: WantedState | None) -> RawStore:
            """Return the state that an argument names."""
            if isinstance(wanted, Path):
                return stack.enter_context(opened(str(wanted)))
            assert own is not None
            return own if wanted is None else state_at(own, wanted)

        old = state(first if first is not None else CommitsAgo(1))
        new = state(second)
        for table in tables:
            if not old.has_table(table):
                check_table(new, table)
        changes = old.changes_to(new, tables or None)
        if out.as_json:
            listed = [change_shape(change) for change in changes]
            out.document({"from": old.sequence, "to": new.sequence, "changes": listed})
            return EXIT_FAILED if listed else EXIT_SOUND
        return EXIT_FAILED if write_changes(out, changes) else EXIT_SOUND
