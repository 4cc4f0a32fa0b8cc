"""Commits and changes as they are shown: to people, between tabs, as JSON."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from snaptable.cli.output import Output, plain, quoted, shown
from snaptable.control.shapes import commit_shape
from snaptable.history import Change, Commit
from snaptable.history.moments import spelled
from snaptable.secrets import MASK

SIGNS = {"insert": ("+", "added"), "replace": ("~", "changed"), "delete": ("-", "removed")}
LABELS = ("name", "title", "label", "email", "filename")
"""Fields that tell people which row it is."""
MOST_CHANGES = 5
"""Changes of a commit that a list shows."""


def head_of(out: Output, commit: Commit) -> str:
    """Return a commit's first line: number, time, who, by which way, why."""
    parts = [out.styled(f"#{commit.sequence}", "strong"), _clock(commit.at)]
    parts += [plain(text) for text in (commit.actor, commit.via) if text]
    parts += [f'"{plain(commit.note)}"'] if commit.note else []
    parts += [out.styled(f"undoes {', '.join(f'#{each}' for each in commit.undoes)}", "dim")] if commit.undoes else []
    parts += [out.styled(f"migrations: {', '.join(map(plain, commit.migrations))}", "dim")] if commit.migrations else []
    return "  ".join(parts)


def _clock(moment: datetime) -> str:
    """Return the time of a commit here; with the day, if that isn't today."""
    here = moment.astimezone()
    if here.date() == datetime.now().astimezone().date():
        return f"{here:%H:%M:%S}"
    return f"{here.day} {here:%b %Y %H:%M:%S}"


def lines_of(out: Output, change: Change, *, whole: bool = False) -> list[str]:
    """Return a change in lines: what, which row, the fields that differ.

    Args:
        out: for colours.
        change: the change.
        whole: whether all fields of a row that came or went are shown.
    """
    sign, style = SIGNS[change.kind]
    head = out.styled(f"{sign} {plain(change.table)} {shown(str(change.key))}", style)
    if change.purged:
        return [f"{head}   {out.styled('(purged)', 'dim')}"]
    if change.kind != "replace" and not whole:
        label = _label(change.after or change.before or {})
        return [f"{head}   {label}" if label else head]
    if change.kind != "replace":
        fields = change.after if change.kind == "insert" else change.before
        return [head, *(f"    {plain(name)}  {quoted(value)}" for name, value in (fields or {}).items())]
    texts = [
        f"{plain(name)}  changed" if old == new == MASK else f"{plain(name)}  {quoted(old)} → {quoted(new)}"
        for name, (old, new) in change.fields.items()
    ]
    if len(texts) == 1 and not whole:
        return [f"{head}   {texts[0]}"]
    return [head, *(f"    {text}" for text in texts)]


def _label(row: Mapping[str, object]) -> str:
    return next((plain(row[name]) for name in LABELS if isinstance(row.get(name), str)), "")


def write_commit(out: Output, commit: Commit, *, whole: bool = False) -> None:
    """Write a commit for people; of a list, the first of its changes."""
    out.write(head_of(out, commit))
    changes = commit.changes if whole else commit.changes[:MOST_CHANGES]
    for change in changes:
        for line in lines_of(out, change, whole=whole):
            out.write(f"  {line}")
    if len(commit.changes) > len(changes):
        out.write(out.styled(f"  … and {len(commit.changes) - len(changes):,} more", "dim"))


def write_lines(out: Output, commit: Commit) -> None:
    """Write a commit between tabs, a change a line: number, time, actor, via, note, kind, table, key, fields."""
    head = [
        str(commit.sequence),
        spelled(commit.at),
        *(plain(text) for text in (commit.actor, commit.via, commit.note)),
    ]
    if not commit.changes:
        out.write("\t".join([*head, "", "", "", ""]))
    for change in commit.changes:
        out.write("\t".join([*head, *_parts(change)]))


def write_next(out: Output, commit: Commit) -> None:
    """Write one commit of a list as it comes: as JSON on a line, for people, or between tabs."""
    if out.as_lines:
        out.line(commit_shape(commit))
    elif out.is_terminal:
        write_commit(out, commit)
    else:
        write_lines(out, commit)


def _parts(change: Change) -> list[str]:
    fields = {name: list(values) for name, values in change.fields.items()} if change.kind == "replace" else None
    return [change.kind, plain(change.table), plain(str(change.key)), plain(fields)]


def write_changes(out: Output, changes: Iterable[Change]) -> int:
    """Write changes for people, or between tabs; return how many there were."""
    count = 0
    for count, change in enumerate(changes, 1):  # noqa: B007 - the number is what is returned
        for line in lines_of(out, change) if out.is_terminal else ["\t".join(_parts(change))]:
            out.write(line)
    return count
