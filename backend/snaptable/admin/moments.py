"""Moments of the past as people type them: `57`, `~3`, `2h`, `14:00`, `2026-11-27T14:00`; and how they are shown."""

import re
from datetime import UTC, datetime, timedelta

from snaptable import Database
from snaptable.admin.numbers import number_in

_AGO = re.compile(r"(\d{1,6})\s*(s|min|h|d|w)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HOUR = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
EXAMPLES = "57, ~3 (commits ago), 2h, 14:00, 2026-11-27T14:00"


def moment_of(text: str, db: Database, now: datetime | None = None) -> int | datetime:
    """Return the moment that a text means; times without a zone are UTC.

    Raises:
        ValueError: it means none; the message says what to write.
    """
    text, now = text.strip().removeprefix("#").replace(",", ""), now or datetime.now(UTC)
    if text in ("", "now"):
        return db.history.sequence
    if (sequence := number_in(text)) is not None:
        return sequence
    if text[0] in "~-" and (back := number_in(text[1:], digits=17)) is not None:
        return max(0, db.history.sequence - back)
    if match := _AGO.fullmatch(text):
        return _before(now, timedelta(**{_UNITS[match[2]]: int(match[1])}))
    if match := _HOUR.fullmatch(text):
        return _last(now, int(match[1]), int(match[2]), int(match[3] or 0))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no moment; write {EXAMPLES}") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _before(now: datetime, ago: timedelta) -> datetime:
    """Return the moment some time ago; the first that there is, if that is before any."""
    return now - ago if ago < now - datetime.min.replace(tzinfo=UTC) else datetime.min.replace(tzinfo=UTC)


def _last(now: datetime, hour: int, minute: int, second: int) -> datetime:
    """Return the last time that a clock showed an hour."""
    at = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return at if at <= now else at - timedelta(days=1)


def sequence_at(text: str, db: Database) -> int:
    """Return the commit that a moment, as typed, lies behind.

    Raises:
        ValueError: it means no moment, or one later than now.
        HistoryGone: it lies before what is kept.
    """
    moment = moment_of(text, db)
    if isinstance(moment, int):
        if moment > db.history.sequence:
            raise ValueError(f"#{moment:,} is later than now, which is #{db.history.sequence:,}")
        return moment
    commits = db.history.commits(until=moment, limit=1)
    commit = next(commits, None)
    return db.history.first if commit is None else commit.sequence


def day_name(at: datetime, now: datetime | None = None) -> str:
    """Return what a day is called.

    >>> day_name(datetime(2026, 11, 27, 9, tzinfo=UTC), datetime(2026, 11, 28, 1, tzinfo=UTC))
    'Yesterday'
    """
    today = (now or datetime.now(UTC)).date()
    days = (today - at.date()).days
    if days in (0, 1):
        return ("Today", "Yesterday")[days]
    return f"{at:%a} {at.day} {at:%b}" + ("" if at.year == today.year else f" {at.year}")


def short_time(at: datetime | None) -> str:
    """Return a time with its day of the week, to the second.

    >>> short_time(datetime(2026, 11, 27, 21, 36, 58))
    'Fri 27 Nov, 21:36:58'
    """
    return "the beginning" if at is None else f"{at:%a} {at.day} {at:%b}, {at:%H:%M:%S}"
