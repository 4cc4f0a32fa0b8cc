"""Attempts to log in and to register, counted for all processes together."""

import math

from app.errors import TooManyAttempts
from app.security.counters import Count
from app.shared.tables import Ask, SharedTables

KNOWN_DAYS = 90
"""How long an address is remembered from which an account has logged in."""
MOST = 400_000
"""Counts that are kept, some 60 MB; with more, those whose windows end first are forgotten."""
_TAKE = """
    insert into backend_counts as known (id, number, ends)
    select id, 1, now() + seconds * interval '1 second'
    from unnest(%(ids)s::text[], %(seconds)s::float8[]) as wanted (id, seconds) order by id
    on conflict (id) do update set
        number = case when known.ends <= now() then 1 else known.number + 1 end,
        ends = case when known.ends <= now() then excluded.ends else known.ends end
    returning id, number, extract(epoch from ends - now())::float8
"""
_GIVE_BACK = """
    update backend_counts set number = number - 1
    where id in (select id from backend_counts where id = any(%(ids)s::text[]) and ends > now() order by id for update)
"""
_LEFT = "select number, extract(epoch from ends - now())::float8 from backend_counts where id = %(id)s and ends > now()"
_KNOW = f"""
    insert into backend_counts as known (id, number, ends) values (%(id)s, 1, now() + interval '{KNOWN_DAYS} days')
    on conflict (id) do update set ends = excluded.ends where known.ends < excluded.ends - interval '1 day'
"""
_CLEAR = "delete from backend_counts where ends <= now() or (number <= 0 and ends < now() + interval '1 day')"
_CLEAR_MOST = f"""
    delete from backend_counts where id in (select id from backend_counts order by ends
    limit greatest((select count(*) from backend_counts) - {MOST}, 0))
"""


class SharedCounts:
    """The counts of one kind of limits, in a table."""

    is_shared = True

    def __init__(self, tables: SharedTables) -> None:
        """Take where the table is."""
        self._tables = tables

    def count(self, count: Count) -> int:
        """Return how many events of a key were counted in its window."""
        return self._left(count)[0]

    def _left(self, count: Count) -> tuple[int, float]:
        records = self._tables.ask(_LEFT, {"id": _id(count)})
        return (int(records[0][0]), float(records[0][1])) if records else (0, 0.0)

    def take(self, counts: list[Count]) -> None:
        """Count an event for each key, or for none.

        Raises:
            TooManyAttempts: one of them has as many as it may.
        """
        for count in counts:  # who is refused writes nothing
            self._check(count, *self._left(count))

        def work(ask: Ask) -> None:
            by_id = {_id(count): count for count in counts}
            given = {"ids": list(by_id), "seconds": [float(count.seconds) for count in by_id.values()]}
            for key, number, seconds in ask(_TAKE, given):
                self._check(by_id[key], number - 1, seconds)  # another process may have been quicker

        self._tables.aside(work)

    @staticmethod
    def _check(count: Count, number: int, seconds: float) -> None:
        if number >= count.limit:
            raise TooManyAttempts(max(1, math.ceil(seconds)))

    def give_back(self, counts: list[Count]) -> None:
        """Take back an event of each key, as far as its window has not ended."""
        self._tables.ask(_GIVE_BACK, {"ids": [_id(count) for count in counts]})

    def forget(self, count: Count) -> None:
        """Forget what was counted of a key."""
        self._tables.ask("delete from backend_counts where id = %(id)s", {"id": _id(count)})

    def is_known(self, pair: str) -> bool:
        """Return whether an account has logged in from an address."""
        return bool(self._tables.ask(_LEFT, {"id": f"known/{pair}"}))

    def know(self, pair: str) -> None:
        """Remember an address from which an account has logged in."""
        self._tables.ask(_KNOW, {"id": f"known/{pair}"})

    def clear_away(self) -> None:
        """Remove counts whose windows have ended, and the first to end if there are too many."""
        self._tables.ask(_CLEAR)
        self._tables.ask(_CLEAR_MOST)


def _id(count: Count) -> str:
    return f"{count.kind}/{count.key}"
