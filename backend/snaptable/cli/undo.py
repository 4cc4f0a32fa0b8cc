"""`snaptable undo SEQUENCE…`: take back what commits did, beside what was done since."""

import re
from collections.abc import Sequence

from snaptable.cli.changing import changing
from snaptable.cli.common import UsageError
from snaptable.cli.reverting import revert


def run(
    *,
    sequences: Sequence[str],
    store: str | None,
    schema: str | None,
    note: str | None,
    force: bool,
    cascade: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Undo commits, the newest first, as one commit."""
    for text in sequences:
        if not re.fullmatch(r"#?[0-9]{1,18}", text):
            raise UsageError(f"{text!r} is no commit: write its number, as `log` shows it (57)")
    numbers = [int(text.removeprefix("#")) for text in sequences]
    with changing(store, schema) as changer:
        return revert(
            changer, "undo", yes=yes, dry_run=dry_run, force=force, sequences=numbers, cascade=cascade, note=note
        )
