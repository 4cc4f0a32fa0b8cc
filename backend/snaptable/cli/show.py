"""`snaptable show SEQUENCE`: one commit, with everything that it changed."""

import re

from snaptable.cli.commits_shown import write_commit, write_lines
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, UsageError, output
from snaptable.cli.looking import looking_at
from snaptable.control.shapes import commit_shape


def run(*, sequence: str | None, store: str | None) -> int:
    """Write the commit; return 1 if it isn't kept."""
    import click

    match = re.fullmatch(r"#?([0-9]{1,18})|~([0-9]{1,18})", sequence or "~0")
    if match is None:
        raise UsageError(f"{sequence!r} is no commit: write its number (57), or how many commits before the last (~3)")
    out = output()
    with looking_at(store) as contents:
        number = int(match[1]) if match[1] else contents.source.sequence - int(match[2])
        commit = contents.commit(number) if number > 0 else None
        first = contents.source.first
    if commit is None:
        kept = f"kept are {first + 1} to {contents.recovery.sequence}"
        click.echo(f"snaptable: there is no commit {number}; {kept}", err=True)
        return EXIT_FAILED
    if out.as_json:
        out.document(commit_shape(commit))
    elif out.is_terminal:
        write_commit(out, commit, whole=True)
    else:
        write_lines(out, commit)
    return EXIT_SOUND
