"""`snaptable import TABLE FILE`: rows of another file, checked by the models, as one commit or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from snaptable.cli.changing import Changer, Shape, changing, write_document
from snaptable.cli.common import EXIT_FAILED, EXIT_REFUSED, EXIT_SOUND, UsageError, ask, describe_number, output, say
from snaptable.cli.output import plain, shown
from snaptable.errors import UnreadableFile
from snaptable.interchange import Record, read_file
from snaptable.interchange.rejects import write_rejects

MANY_ROWS = 1000
"""Rows from which on nothing is written unless it was said, or answered, that it should be."""
MOST_FAULTS = 20


def run(
    *,
    table: str,
    file: str,
    store: str | None,
    schema: str | None,
    format_name: str | None,
    source: str | None,
    update: bool,
    mapping: Sequence[str],
    rejects: str | None,
    note: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Read the file, say what is wrong or would be done, and do it."""
    names = _mapping(mapping)
    records = read_file(file, format_name).records(source if source is not None else table)
    given = {
        "table": table,
        "records": [_given(record) for record in records],
        "mapping": names,
        "update": update,
        "note": note if note is not None else f"import of {Path(file).name}",
    }
    with changing(store, schema) as changer:
        plan = changer.perform("import", dry_run=True, **given)
        _say_plan(plan, file)
        if plan["wrong"] or plan["unknown"]:
            return _refuse(plan, changer, rejects, records)
        if dry_run or not plan["inserts"] + plan["updates"]:
            write_document(_document(plan), changer, dry_run=True)
            return EXIT_SOUND
        if len(records) > MANY_ROWS and not ask(f"Import {describe_number(len(records), 'row')}?", yes=yes):
            return EXIT_FAILED
        return _carry_out(changer, given)


def _refuse(plan: Shape, changer: Changer, rejects: str | None, records: Sequence[Record]) -> int:
    if rejects is not None:
        _write_rejects(Path(rejects), plan["rejected"], records)
    write_document(_document(plan), changer, dry_run=True)
    return EXIT_REFUSED


def _carry_out(changer: Changer, given: Mapping[str, object]) -> int:
    done = changer.perform("import", dry_run=False, **given)
    if done["wrong"] or done["unknown"]:  # the store changed meanwhile
        _say_plan(done, "the file")
        write_document(_document(done), changer, dry_run=False)
        return EXIT_REFUSED
    say(f"Done: commit #{done['commit']}{changer.by_whom}.")
    write_document(_document(done), changer, dry_run=False)
    return EXIT_SOUND


def _mapping(texts: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for text in texts:
        name, sign, field = text.partition("=")
        if not sign or not name:
            raise UsageError(f"--map {text}: write NAME=FIELD, the file's name and the model's; NAME= leaves it out")
        names[name] = field
    return names


def _given(record: Record) -> list[object]:
    """Return a record as the operation takes it."""
    if record.fault is not None:
        return [record.line, record.fault]
    return [record.line, record.kind, record.key, dict(record.values)]


def _document(plan: Shape) -> Shape:
    return {name: value for name, value in plan.items() if name != "rejected"}


# ── what is said ────────────────────────────────────────────────────────────────────────────────────────────────────


def _say_plan(plan: Shape, file: str) -> None:
    counts = f"{plan['inserts']:,} to insert, {plan['updates']:,} to change, {plan['unchanged']:,} unchanged"
    wrong = f", {plan['wrong']:,} wrong" if plan["wrong"] else ""
    say(f"{plain(plan['table'])}: {counts}{wrong}")
    if not (plan["wrong"] or plan["unknown"]):
        for each in plan["examples"]:
            sign = {"insert": "+", "replace": "~", "delete": "-"}[each["kind"]]
            say(f"  {sign} {shown(str(each['key']))}  {plain(each['after'])[:100]}")
        return
    for fault in plan["faults"][:MOST_FAULTS]:
        field = f"{plain(fault['field'])}: " if fault["field"] else ""
        place = output().styled(f"line {fault['line']}", "removed")
        say(f"  {place}: {field}{plain(fault['reason'])}")
    if len(plan["faults"]) > MOST_FAULTS:
        say("  … and more; --rejects FILE has every row that is wrong")
    say(f"Nothing of {plain(file)} was imported.")


def _write_rejects(path: Path, rejected: Sequence[Shape], records: Sequence[Record]) -> None:
    """Write the records that are wrong, with the reasons."""
    by_line = {record.line: record for record in records}
    try:
        write_rejects(path, ((by_line[each["line"]], each["faults"]) for each in rejected))
    except UnreadableFile as error:
        raise UsageError(f"--rejects: {error}") from None
    say(f"{describe_number(len(rejected), 'row')} with what is wrong: {path}")
