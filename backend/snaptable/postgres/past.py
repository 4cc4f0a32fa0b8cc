"""The past: the commits that are kept, read, forgotten and rewritten."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from snaptable.changes.records import CommitRecord, ErasedKeys, Key, TimedCommit
from snaptable.changes.retention import HistoryStatus, Retention
from snaptable.postgres.commits import decoded
from snaptable.postgres.layout.names import COMMITS, STATE
from snaptable.postgres.server.connections import Fetch

BATCH = 200
"""Commits that are read at once."""
COMMIT_BYTES = 64
"""What a commit takes beside its record, about."""


class RecordedCommits:
    """The commits in the database, as a source for history.

    Inside a transaction they are those that it sees; else they end before the first that is still being committed.

    Attributes:
        store: an id of what they are the commits of.
        leaves_numbers_out: whether numbers may be missing.
    """

    leaves_numbers_out = True

    def __init__(self, store: str, fetch: Fetch, last: Callable[[], int], json_type: str) -> None:
        """Take the database's id, what asks it, and what gives the last commit that may be read."""
        self.store = store
        self._fetch, self._last, self._json = fetch, last, json_type

    @property
    def sequence(self) -> int:
        """The last commit that readers see."""
        return self._last()

    @property
    def first(self) -> int:
        """The earliest moment that can be reached."""
        return int(self._state("first"))

    def _state(self, column: str) -> Any:
        ((value,),) = self._fetch(f"select {column} from {STATE}")
        return value

    def status(self) -> HistoryStatus:
        """Return how far back the past can be seen."""
        ((first, purged),) = self._fetch(f"select first, purged from {STATE}")
        oldest = self._fetch(f"select at from {COMMITS} order by sequence limit 1")
        ((size,),) = self._fetch(f"select pg_total_relation_size('{COMMITS}'::regclass)")
        return HistoryStatus(int(first), oldest[0][0] if oldest else None, int(size), int(purged))

    def newest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield the commits of a range, the last first, in batches."""
        while True:
            batch = self._batch(after, until, key, "desc")
            yield from batch
            if len(batch) < BATCH:
                return
            until = batch[-1].record.sequence - 1

    def oldest_first(self, after: int, until: int, key: Key | None = None) -> Iterator[TimedCommit]:
        """Yield the commits of a range in order, in batches."""
        while True:
            batch = self._batch(after, until, key, "asc")
            yield from batch
            if len(batch) < BATCH:
                return
            after = batch[-1].record.sequence

    def _batch(self, after: int, until: int, key: Key | None, direction: str) -> list[TimedCommit]:
        params: dict[str, object] = {"after": after, "until": until}
        test = ""
        if key is not None:
            from snaptable.storage.journal.format import key_member

            test = " and strpos(record::text, %(key)b::text) > 0"
            params["key"] = key_member(key).decode()
        records = self._fetch(
            f"select sequence, at, record from {COMMITS} where sequence > %(after)b::int8 and "
            f"sequence <= %(until)b::int8{test} order by sequence {direction} limit {BATCH}",
            params,
        )
        return [TimedCommit(_spelled(at), record_of(sequence, record)) for sequence, at, record in records]

    def last_until(self, at: str) -> int | None:
        """Return the last commit that was not made later than a time; None if none is known; O(commits since)."""
        records = self._fetch(
            f"select sequence from {COMMITS} where at <= %(at)b::timestamptz order by sequence desc limit 1",
            {"at": datetime.fromisoformat(at)},
        )
        return int(records[0][0]) if records else None

    # ── changed ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def erased(self) -> ErasedKeys:
        """The keys whose content was erased from the commits."""
        erased: ErasedKeys = json.loads(self._state("erased::text"))
        return erased

    def note_erased(self, ask: Fetch, erased: ErasedKeys) -> None:
        """Add to the keys whose content was erased, in the open transaction."""
        known: dict[str, dict[str, int]] = {table: dict(keys) for table, keys in self.erased.items()}
        for table, keys in erased.items():
            known.setdefault(table, {}).update(keys)
        ask(f"update {STATE} set erased = %(erased)b::text::{self._json}", {"erased": json.dumps(known)})

    def forget(self, ask: Fetch, moment: int) -> None:
        """Forget the commits up to a moment."""
        ask(f"update {STATE} set first = %(moment)b::int8 where first < %(moment)b::int8", {"moment": moment})
        ask(f"delete from {COMMITS} where sequence <= %(moment)b::int8", {"moment": moment})

    def rewrite(self, ask: Fetch, until: int, rewritten: Callable[[CommitRecord], CommitRecord]) -> int:
        """Put other commits in the place of those up to one; return how many differ."""
        from snaptable.storage.journal.format import encode_commit

        count, last = 0, 0
        for timed in list(self.oldest_first(0, until)):
            record = rewritten(timed.record)
            if record is not timed.record:
                text = encode_commit(record).decode()
                sql = f"update {COMMITS} set record = %(record)b::text::{self._json} where sequence = %(number)b::int8"
                ask(sql, {"record": text, "number": timed.record.sequence})
                count, last = count + 1, timed.record.sequence
        if count:
            ask(f"update {STATE} set purged = greatest(purged, %(last)b::int8)", {"last": last})
        return count

    def prune(self, ask: Fetch, retention: Retention) -> None:
        """Forget what is older, or more, than is to be kept."""
        if retention.max_days is not None:
            days = f"select max(sequence) from {COMMITS} where at < now() - %(days)b::float8 * interval '1 day'"
            ((moment,),) = ask(days, {"days": float(retention.max_days)})
            if moment is not None:
                self.forget(ask, moment)
        # What deleted rows leave in the table until it is vacuumed is not counted.
        ((moment,),) = ask(
            f"select max(sequence) from (select sequence, sum(pg_column_size(record) + {COMMIT_BYTES}) "
            f"over (order by sequence desc) as size from {COMMITS}) as newest where size > %(bytes)b::int8",
            {"bytes": retention.max_bytes},
        )
        if moment is not None:
            self.forget(ask, moment)


def _spelled(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def record_of(sequence: int, record: object) -> CommitRecord:
    """Return the commit of a stored record."""
    from snaptable.storage.journal.format import decode_commit

    return decode_commit({**decoded(record), "sequence": sequence})
