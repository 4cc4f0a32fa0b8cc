"""`snaptable purge TABLE KEY`: erase what a row was, now and in all of the past, and say what is left where."""

from snaptable.cli.changing import changing, write_document
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, ask, describe_number, output, say
from snaptable.cli.looking import check_table, looking_at
from snaptable.cli.output import plain

MOST_PLACES = 50
"""Places that are listed for people."""


def run(
    *,
    table: str,
    key: str,
    store: str | None,
    schema: str | None,
    cascade: bool,
    keys: bool,
    yes: bool,
) -> int:
    """Say what would be erased, ask, erase it, and write the receipt."""
    with looking_at(store) as contents:
        check_table(contents, table)
        is_there = contents.row(table, key) is not None
        commits = sum(1 for _ in contents.commits(table, key))
    if not is_there and not commits:
        say(f"{plain(table)} has no row {plain(key)}, and no commit that is kept changed one.")
    place = f"{plain(table)} {plain(key)}"
    state = "it is there, and is deleted first" if is_there else "it is not there any more"
    say(f"Erases {place} from {describe_number(commits, 'commit')}: {state}.")
    if cascade:
        say("Rows that go, or went, with it are erased likewise; --no-cascade leaves them.")
    say("That it was, who changed it and when is kept. Nothing brings its values back.")
    with changing(store, schema) as changer:
        if not ask("Erase it?", yes=yes):
            return EXIT_FAILED
        receipt = changer.perform("purge", table=table, key=key, cascade=cascade, keys=keys)
        write_document(receipt, changer, dry_run=False)
    total = sum(receipt["rows"].values())
    rows = ", ".join(f"{count:,} of {plain(name)}" for name, count in receipt["rows"].items())
    recorded = f"recorded by commit #{receipt['commit']}" if receipt["commit"] else "it was recorded before"
    say(f"Purged {describe_number(total, 'row')} ({rows}); {recorded}{changer.by_whom}.")
    say(f"  {describe_number(receipt['frames'], 'frame')} of the journal rewritten, a new snapshot written")
    _say_left(receipt["left"])
    return EXIT_SOUND


def _say_left(left: list[dict[str, object]]) -> None:
    """Say where values still stand: it was not the purge's to change these."""
    if not left:
        say("  every file of the store was searched for its values: none is left")
        return
    say(f"  {describe_number(len(left), 'place')} where a value of it still stands (it may be another row's, too):")
    for each in left[:MOST_PLACES]:
        line = f", line {each['line']}" if each["line"] is not None else ""
        say(f"    {plain(each['file'])}{line}: {output().styled(plain(each['what']), 'changed')}")
    if len(left) > MOST_PLACES:
        say(f"    … and {len(left) - MOST_PLACES:,} more; --json lists them")
