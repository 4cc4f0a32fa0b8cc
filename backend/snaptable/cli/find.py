"""`snaptable find TABLE FILTER…`: the rows that filters leave."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, UsageError, output
from snaptable.cli.filters import Filter, JsonRow, sorted_rows, value_at
from snaptable.cli.looking import WantedState, check_table, looking_at
from snaptable.cli.output import Output, columns_of, shown
from snaptable.cli.settings import schema_of, store_of
from snaptable.maintenance.raw_store import RawStore

SHOWN = 50
"""Rows that a terminal shows, if nothing else is said."""
SAMPLE = 200
WIDEST = 40


def run(
    *,
    table: str,
    filters: Sequence[str],
    store: str | None,
    sort: str | None,
    limit: int | None,
    fields: str | None,
    only_count: bool,
    at: WantedState | None,
    explain: bool,
    schema: str | None,
) -> int:
    """Write the rows; return 1 if there are none."""
    out, wanted = output(), [Filter.parse(text) for text in filters]
    with looking_at(store, at) as contents:
        check_table(contents, table)
        _check_secrets(contents, table, wanted, sort)
        if explain:
            place = store_of(store)
            return _explain(out, place, schema_of(schema, place), table, wanted, sort, limit)
        _check_fields(contents, table, _names(fields))
        matching: Iterable[JsonRow] = _matching(contents, table, wanted)
        if only_count:
            return _write_count(out, sum(1 for _ in matching))
        if sort:
            matching = sorted_rows(list(matching), sort)
        return _write(out, matching, _names(fields), limit, contents.key_field(table))


def _matching(contents: RawStore, table: str, wanted: Sequence[Filter]) -> Iterator[JsonRow]:
    """Yield the rows for which every filter holds; raises UsageError at the end if a field is in no row."""
    any_row: JsonRow | None = None
    for _, row in contents.rows(table):
        any_row = row
        held = [each.holds(row) for each in wanted]  # every one is asked, so that each sees its field
        if all(held):
            yield row
    for each in wanted:
        if any_row is not None and each.path and not each.is_known:
            raise UsageError(f"{table} has no field {each.path[0]!r}; it has {', '.join(any_row)}")


def _check_secrets(contents: RawStore, table: str, wanted: Sequence[Filter], sort: str | None) -> None:
    names = [each.path[0] for each in wanted if each.path]
    names += [part.strip().removeprefix("-").partition(".")[0] for part in (sort or "").split(",")]
    for name in contents.schema(table).secrets.intersection(names):
        raise UsageError(f"{table}.{name} is secret: to look for its values would tell them")


def _check_fields(contents: RawStore, table: str, names: Sequence[str] | None) -> None:
    """Check that some row has each field that is to be shown; the first row has them, as a rule."""
    missing = {name.partition(".")[0] for name in names or ()}
    first: JsonRow | None = None
    for _, row in contents.rows(table) if missing else ():
        first = first or row
        missing.difference_update(row)
        if not missing:
            return
    if first is not None:
        raise UsageError(f"{table} has no field {min(missing)!r}; it has {', '.join(first)}")


def _names(fields: str | None) -> list[str] | None:
    return None if fields is None else [name.strip() for name in fields.split(",") if name.strip()]


def _write_count(out: Output, count: int) -> int:
    if out.as_json or out.as_lines:
        out.line({"count": count})
    else:
        out.write(f"{count:,}" if out.is_terminal else str(count))
    return EXIT_SOUND if count else EXIT_FAILED


def _write(out: Output, rows: Iterable[JsonRow], names: list[str] | None, limit: int | None, key: str | None) -> int:
    is_program = out.as_json or out.as_lines or not out.is_terminal
    most = limit if limit is not None else 0 if is_program else SHOWN
    iterator = iter(rows)
    some = islice(iterator, most or None)
    count = 0
    if out.as_lines:
        for row in some:
            out.line(_narrowed(row, names))
            count += 1
    elif out.as_json:
        items = [_narrowed(row, names) for row in some]
        count = len(items)
        out.document({"items": items, "total": count + sum(1 for _ in iterator)})
    else:
        count = _write_rows(out, list(some), names, key)
        left = sum(1 for _ in iterator)
        if left and out.is_terminal:
            out.say(out.styled(f"… and {left:,} more; --limit 0 shows all", "dim"))
    return EXIT_SOUND if count else EXIT_FAILED


def _write_rows(out: Output, rows: Sequence[JsonRow], names: list[str] | None, key: str | None) -> int:
    """Write rows as a table; of many fields, those that the terminal has room for."""
    every = columns_of(rows) if names is None else names
    columns = _fitting(rows, every, key) if names is None and out.is_terminal else every
    shown_rows = [{name: value_at(row, name.split(".")) for name in columns} for row in rows]
    count = out.rows(columns, shown_rows) if rows else 0
    if len(columns) < len(every) and rows:
        hidden = [name for name in every if name not in columns]
        out.say(out.styled(f"not shown: {', '.join(hidden)}; --fields chooses", "dim"))
    return count


def _fitting(rows: Sequence[JsonRow], names: Sequence[str], key: str | None) -> list[str]:
    """Return the fields that there is room for on the terminal, the key first."""
    left = shutil.get_terminal_size().columns
    ordered = sorted(names, key=lambda name: name != key)
    fitting: list[str] = []
    for name in ordered:
        widest = max((len(shown(row.get(name))) for row in rows[:SAMPLE]), default=0)
        left -= min(max(widest, len(name)), WIDEST) + 3
        if left < 0 and fitting:
            break
        fitting.append(name)
    return fitting


def _narrowed(row: JsonRow, names: list[str] | None) -> JsonRow:
    return row if names is None else {name: value_at(row, name.split(".")) for name in names}


def _explain(
    out: Output,
    place: str,
    schema: str | None,
    table: str,
    wanted: Sequence[Filter],
    sort: str | None,
    limit: int | None,
) -> int:
    if schema is None:
        raise UsageError("--explain asks the program's own models: name them with --schema MODULE:DATABASE")
    from snaptable.cli.explained import explained

    result = explained(place, schema, table, wanted, sort, limit)
    if out.as_json or out.as_lines:
        out.document(vars(result))
    else:
        _write_rows(out, result.items, None, None)
        out.write(out.styled(f"{result.plan} · {result.ms:.2g} ms", "dim"))
    return EXIT_SOUND if result.items else EXIT_FAILED
