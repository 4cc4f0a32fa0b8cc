"""The names of backups in a folder, and which of them are kept."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from snaptable.backup.encryption import SUFFIX
from snaptable.storage.disk.files import Files

_NAME = re.compile(r"backup-([0-9]{8}T[0-9]{6}Z)-([0-9]{1,19})-([0-9a-f]{8})(?:_([2-9]|[1-9][0-9]{1,5}))?\.zip(\.age)?")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class NamedBackup:
    """A backup by its name, which was made by `name_of`.

    Attributes:
        name: the file's.
        at: when it was made, to the second.
        sequence: the commit whose state it is.
        store: the first 8 characters of the store's id.
        number: 2 and above for those made of the same state in the same second as another.
    """

    name: str
    at: datetime
    sequence: int
    store: str
    number: int = 1

    @property
    def age(self) -> tuple[datetime, int, int]:
        """What is greater for those made later."""
        return self.at, self.sequence, self.number


def name_of(store: str, at: datetime, sequence: int, *, encrypted: bool, number: int = 1) -> str:
    """Return the name of a backup in a folder: `backup-20261128T074105Z-57-18c35c9c.zip`, or `….zip.age`.

    With a number above 1, `backup-20261128T074105Z-57-18c35c9c_2.zip`: another of the same state and second.
    """
    time = at.astimezone(UTC).strftime(_TIME)
    return f"backup-{time}-{sequence}-{store[:8]}{f'_{number}' * (number > 1)}.zip{SUFFIX if encrypted else ''}"


def parsed(name: str) -> NamedBackup | None:
    """Return the backup of a name; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        at = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return NamedBackup(name, at, int(match[2]), match[3], int(match[4] or 1))


def backups_in(files: Files, store: str | None = None) -> list[NamedBackup]:
    """Return the backups in a folder, the newest first, by their names alone; O(n log n).

    Args:
        files: the folder.
        store: only those of the store of this id.

    Raises:
        OSError: it can't be read.
    """
    backups = [backup for backup in map(parsed, files.list()) if backup is not None]
    wanted = [backup for backup in backups if store is None or backup.store == store[:8]]
    return sorted(wanted, key=lambda backup: backup.age, reverse=True)


@dataclass(frozen=True)
class Keep:
    """How many backups are kept, in restic's words; one that any rule keeps is kept.

    Attributes:
        last: the newest.
        daily, weekly, monthly: how many days, weeks and months with backups count, the newest of each; UTC, and ISO
            weeks.
    """

    last: int = 3
    daily: int = 7
    weekly: int = 4
    monthly: int = 12

    def __post_init__(self) -> None:
        """Refuse rules that would keep nothing."""
        if min(self.last, self.daily, self.weekly, self.monthly) < 0 or self.last == 0:
            raise ValueError("the newest backup is always kept: `last` is 1 or more, the others are 0 or more")

    def expired(self, backups: Iterable[NamedBackup]) -> list[NamedBackup]:
        """Return the backups that no rule keeps, the oldest first; O(n log n)."""
        newest_first = sorted(backups, key=lambda backup: backup.age, reverse=True)
        kept = set(newest_first[: self.last])
        for count, period in ((self.daily, _day), (self.weekly, _week), (self.monthly, _month)):
            kept.update(_newest_of_each(newest_first, count, period))
        return [backup for backup in reversed(newest_first) if backup not in kept]


Period = Callable[[datetime], tuple[int, ...]]


def _day(at: datetime) -> tuple[int, ...]:
    return at.year, at.month, at.day


def _week(at: datetime) -> tuple[int, ...]:
    return at.isocalendar()[:2]


def _month(at: datetime) -> tuple[int, ...]:
    return at.year, at.month


def _newest_of_each(newest_first: Sequence[NamedBackup], count: int, period: Period) -> list[NamedBackup]:
    newest: dict[tuple[int, ...], NamedBackup] = {}
    for backup in newest_first:
        newest.setdefault(period(backup.at), backup)
    return list(newest.values())[:count]
