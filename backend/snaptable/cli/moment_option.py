"""Moments as a person writes them: a commit, some commits ago, a time of the clock, a while ago."""

import argparse
import re
from datetime import UTC, datetime, time, timedelta

from snaptable.history import Moment
from snaptable.maintenance.point_in_time import CommitsAgo

_AGO = re.compile(r"([0-9]{1,9})(s|min|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def wanted_moment(text: str) -> Moment | CommitsAgo:
    """Return the moment that a text stands for; times without a zone are those of this machine.

    Raises:
        argparse.ArgumentTypeError: it stands for none.
    """
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    if re.fullmatch(r"~[0-9]{1,19}", text):
        return CommitsAgo(int(text[1:]))
    if match := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        return _time(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment; write a commit (57), some commits ago (~3), a time (14:00, 2026-11-28T14:00), or "
            f"a while ago (2h)"
        ) from None


def _time(text: str) -> datetime:
    """Return a time, or one of today."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.combine(datetime.now().astimezone().date(), time.fromisoformat(text))
