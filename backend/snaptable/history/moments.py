"""Moments: a sequence, or a time, which means the last commit that was not made later."""

from datetime import UTC, datetime

from snaptable.contract import CommitSource
from snaptable.errors import HistoryGone
from snaptable.history.rewind import gone

Moment = int | datetime
"""A sequence, for the state after that commit, or an aware time."""


def sequence_of(moment: Moment, source: CommitSource) -> int:
    """Return the sequence that a moment means.

    Raises:
        TypeError: it is neither.
        ValueError: a naive time, one that is later than now, a sequence that wasn't reached, or a negative one.
        HistoryGone: it lies before what is kept.
    """
    if isinstance(moment, datetime):
        return _sequence_at(moment, source)
    if type(moment) is not int:
        raise TypeError(f"a moment is a sequence (an int) or an aware datetime; not of {type(moment).__name__}")
    last = source.sequence
    if not 0 <= moment <= last:
        raise ValueError(f"there is no commit {moment} yet; the last one is {last}" if moment > last else _NEGATIVE)
    if moment < source.first:
        raise gone(source, moment)
    return moment


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MIDDLE_YEAR = 5000
_NEGATIVE = "a sequence is 0, for the state before the first commit, or above"


def _sequence_at(moment: datetime, source: CommitSource) -> int:
    if moment.utcoffset() is None:
        raise ValueError("a moment is an aware time; this one is naive: add a time zone, as in datetime.now(UTC)")
    last = _last_time(source)
    if moment > max(datetime.now(UTC), last or datetime.min.replace(tzinfo=UTC)):
        raise ValueError("the moment lies in the future")
    sequence = source.last_until(spelled(moment))
    if sequence is not None:
        return sequence
    if source.first == 0:
        return 0
    raise HistoryGone(
        f"that time lies before what is kept; the first moment that can be reached is {source.first}",
        first=source.first,
    )


def _last_time(source: CommitSource) -> datetime | None:
    last = next(iter(source.newest_first(source.sequence - 1, source.sequence)), None)
    return None if last is None else datetime.fromisoformat(last.at)


def spelled(moment: datetime) -> str:
    """Return an aware time as files spell it, in UTC, to the microsecond: texts then compare as times do.

    One that UTC has no year for is the first, or the last, that it has: no commit was made beyond.
    """
    try:
        at = moment.astimezone(UTC)
    except OverflowError:
        at = _FIRST if moment.year < _MIDDLE_YEAR else _LAST
    return f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
