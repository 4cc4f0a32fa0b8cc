"""Moments as a person writes them: a commit, some commits ago, a time of the clock, a while ago, a file."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from snaptable.history import Moment
    from snaptable.maintenance.point_in_time import CommitsAgo

    _ParamType = click.ParamType[object]
else:
    _ParamType = click.ParamType

_AGO = re.compile(r"([0-9]{1,9})(s|min|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FILE = "file:"


def wanted_moment(text: str) -> "Moment | CommitsAgo":
    """Return the moment that a text stands for; times without a zone are those of this machine.

    Raises:
        ValueError: it stands for none.
    """
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text)
    if re.fullmatch(r"~[0-9]{1,19}", text):
        from snaptable.maintenance.point_in_time import CommitsAgo

        return CommitsAgo(int(text[1:]))
    try:
        if match := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        return _time(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment; write a commit (57), some commits ago (~3), a time (14:00, 2026-11-28T14:00), or "
            f"a while ago (2h)"
        ) from None


def _time(text: str) -> datetime:
    """Return a time, or one of today."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.combine(datetime.now().astimezone().date(), time.fromisoformat(text))


class MomentType(_ParamType):
    """A moment among the parameters of a command."""

    name = "moment"

    def __init__(self, *, files: bool = False) -> None:
        """Say whether a snapshot file is a moment too."""
        self._files = files

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return the moment of a text."""
        if not isinstance(value, str):
            return value
        if self._files and value.startswith(FILE):
            from pathlib import Path  # not for help

            return Path(value.removeprefix(FILE))
        try:
            return wanted_moment(value)
        except ValueError as error:
            self.fail(f"{error}{', or a snapshot (file:PATH)' * self._files}", param, ctx)
