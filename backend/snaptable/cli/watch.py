"""`snaptable watch [TABLE…]`: commits as they are made."""

import time

from snaptable.cli.commits_shown import write_next
from snaptable.cli.common import EXIT_SOUND, output
from snaptable.cli.looking import check_table, looking_at
from snaptable.cli.output import plain
from snaptable.control.shapes import commit_shape

PAUSE = 0.1
"""Seconds between two looks at the journal."""


def run(*, tables: tuple[str, ...], store: str | None, limit: int | None) -> int:
    """Write commits until Ctrl-C, or until there were enough."""
    import sys

    out = output()
    with looking_at(store) as contents:
        check_table(contents, *tables)
        if out.is_terminal:
            out.say(out.styled(f"{plain(str(contents.path))} at commit {contents.sequence}; Ctrl-C ends this", "dim"))
        count = 0
        gathered: list[dict[str, object]] = []
        try:
            for commit in contents.follow(lambda: time.sleep(PAUSE)):
                if tables and not any(commit.touches(table) for table in tables):
                    continue
                count += 1
                if out.as_json:
                    gathered.append(commit_shape(commit))
                else:
                    write_next(out, commit)
                sys.stdout.flush()
                if limit is not None and count >= limit:
                    break
        finally:  # Ctrl-C, too, is how one ends this
            if out.as_json:
                out.document({"items": gathered, "next": None})
    return EXIT_SOUND
