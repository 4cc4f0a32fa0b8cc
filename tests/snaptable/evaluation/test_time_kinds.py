"""Naive and aware times are counted alike, all at once or one by one."""

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from snaptable.evaluation.time_kinds import TimeKinds


class Nowhere(tzinfo):
    """A zone without an offset: its times are naive, though they have a zone."""

    def utcoffset(self, _: datetime | None) -> None:
        """Return nothing."""

    def dst(self, _: datetime | None) -> None:
        """Return nothing."""

    def tzname(self, _: datetime | None) -> None:
        """Return nothing."""


class Moment(datetime):
    """A class of the user's own."""


FIXED = st.sampled_from([UTC, None, timezone(timedelta(hours=-5, minutes=7))])
ZONES = FIXED | st.just(Nowhere())
PLAIN = st.datetimes(timezones=FIXED)
ODD = (
    st.datetimes(timezones=ZONES, allow_imaginary=True)
    | st.just(Moment(2026, 1, 1, tzinfo=UTC))
    | st.times()
    | st.just(time(1, tzinfo=UTC))
    | st.lists(PLAIN, max_size=2)
    | st.just("no time")
)


@given(st.lists(st.none() | PLAIN, max_size=6) | st.lists(st.none() | PLAIN | ODD, max_size=6))
def test_all_at_once_as_one_by_one(values: list[Any]) -> None:
    """Ensure the numbers do not depend on whether the rows were there before the first question."""
    rows: list[Any] = [SimpleNamespace(at=value) for value in values]
    one_by_one = TimeKinds("at", [])
    for row in rows:
        one_by_one.add(row)
    at_once = TimeKinds("at", rows)
    for kind in ((of, word) for of in (datetime, time) for word in ("naive", "aware")):
        assert at_once.count(kind, None, None) == one_by_one.count(kind, None, None)
    assert list(one_by_one.problems(rows)) == []
    for row in rows:
        at_once.remove(row)
    assert list(at_once.problems([])) == []
