"""What rows were at an earlier commit: the present, with the commits after it taken back.

Each change says what there was before it. So of the changes to a row after a commit only the oldest counts: the row's
state at the commit is what that one says was there before.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import cast

from snaptable.changes.records import ChangeRecord, CommitRecord, Delete, Insert, Key, PurgedChange
from snaptable.contract import CommitSource
from snaptable.errors import HistoryGone
from snaptable.values.row_lines import row_json

RowKey = tuple[str, Key]
"""A table's name and a row's key; of a commit from a file, the key's text."""


def former_row(change: ChangeRecord) -> dict[str, object] | None:
    """Return the row before a change, as a JSON object; None if there was none, or it was purged. O(row).

    Raises:
        HistoryGone: the change is from a journal that did not remember what was there before.
    """
    if isinstance(change, Insert | PurgedChange):
        return None
    if change.before is None:
        raise before_unknown(change.table, change.key)
    before = cast("dict[str, object]", json.loads(change.before))
    if isinstance(change, Delete):
        return before
    now = cast("dict[str, object]", json.loads(change.row))
    return {name: before.get(name, value) for name, value in now.items() if name not in change.added} | before


def before_unknown(table: str, key: Key) -> HistoryGone:
    """Return the error for a change that does not say what there was before it."""
    return HistoryGone(
        f"what {table} {key} was before is not known: it was changed by a version of the library that did not keep it"
    )


def former_json(change: ChangeRecord) -> bytes | None:
    """Return the JSON of the row before a change, None if there was none or it was purged; raises as `former_row`."""
    if isinstance(change, Delete) and change.before is not None:
        return change.before
    row = former_row(change)
    return None if row is None else row_json(row)


def later_json(change: ChangeRecord) -> bytes | None:
    """Return the JSON of the row after a change, None if there is none, or if it was purged."""
    return None if isinstance(change, Delete) else change.row


def touched(
    source: CommitSource,
    after: int,
    until: int,
    tables: Collection[str] | None = None,
    *,
    as_written: bool = False,
    key: object = None,
) -> dict[RowKey, tuple[ChangeRecord, ChangeRecord]]:
    """Return the oldest and the newest change of each row that changed with after < sequence <= until; O(changes).

    With a `key`, only those of the rows of this key in the tables, of which there must be some.

    What an opening filled in by itself isn't a change, unless `as_written`: seen through today's models the fields were
    there before, with the values that they were given then.

    Raises:
        HistoryGone: commits of that range are gone.
    """
    return touched_by(complete(source, after, until), tables, as_written=as_written, key=key)


def touched_by(
    newest_first: Iterable[CommitRecord],
    tables: Collection[str] | None,
    *,
    as_written: bool = False,
    key: object = None,
) -> dict[RowKey, tuple[ChangeRecord, ChangeRecord]]:
    """Return the oldest and the newest change of each row that some commits changed, as `touched`; O(changes)."""
    oldest: dict[RowKey, ChangeRecord] = {}
    newest: dict[RowKey, ChangeRecord] = {}
    for record in newest_first:
        counts = as_written or not record.is_automatic
        changes: Iterable[ChangeRecord] = record.changes if key is None else ()
        if key is not None:
            changes = [change for table in tables or () for change in record.changes_to(table, str(key))]
        for change in changes:
            if tables is None or change.table in tables:
                place = (change.table, str(change.key))
                newest.setdefault(place, change)
                if counts:
                    oldest[place] = change
    return {place: (change, newest[place]) for place, change in oldest.items()}


def complete(source: CommitSource, after: int, until: int) -> Iterator[CommitRecord]:
    """Yield every commit of a range, newest first; raise HistoryGone where one is missing."""
    expected = until
    for timed in source.newest_first(after, until):
        sequence = timed.record.sequence
        if sequence != expected and not source.leaves_numbers_out:
            break
        expected = sequence - 1
        yield timed.record
    if source.first > after if source.leaves_numbers_out else expected != after:
        raise gone(source, after)


def gone(source: CommitSource, moment: int) -> HistoryGone:
    """Return the error for a moment that can't be reached any more."""
    first = source.first
    return HistoryGone(f"the state at {moment} can't be reached any more; the first that can is {first}", first=first)
