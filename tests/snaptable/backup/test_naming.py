"""Names of backups in a folder, and which of them are kept: against a plain reading of restic's words."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snaptable.backup import Keep, NamedBackup, backups_in
from snaptable.backup.naming import name_of, parsed
from snaptable.storage.disk.files import Files

STORE = "18c35c9c-0000-4000-8000-000000000000"


def test_names_come_back(tmp_path: Path) -> None:
    """Ensure a name tells time, sequence and store, other names are none, and the newest is first."""
    at = datetime(2026, 11, 28, 7, 41, 5, 999, tzinfo=UTC)
    name = name_of(STORE, at.astimezone(timezone(timedelta(hours=9))), 57, encrypted=True)
    assert name == "backup-20261128T074105Z-57-18c35c9c.zip.age"
    assert parsed(name) == NamedBackup(name, at.replace(microsecond=0), 57, "18c35c9c")
    others = [
        "backup-20261328T074105Z-57-18c35c9c.zip", "backup.zip", "x" + name, name + ".tmp", ".backup.1.tmp", "day.zip"
    ]  # fmt: skip
    assert [parsed(other) for other in others] == [None] * len(others)
    names = [name_of(STORE, at + timedelta(days=day), 60 - day, encrypted=False) for day in (1, 3, 2)]
    foreign = name_of("ffffffff", at, 1, encrypted=False)
    for each in (*names, *others, foreign):
        (tmp_path / each.replace("x", "y", 1)).touch()
    assert [found.sequence for found in backups_in(Files(tmp_path), STORE)] == [57, 58, 59]
    assert len(backups_in(Files(tmp_path))) == 4


def test_names_of_one_second(tmp_path: Path) -> None:
    """Ensure a number tells backups of one state and second apart, comes back, and says which is the newest."""
    at = datetime(2026, 11, 28, 7, 41, 5, tzinfo=UTC)
    names = [name_of(STORE, at, 57, encrypted=False, number=number) for number in (2, 1, 11, 10)]
    assert names[0] == "backup-20261128T074105Z-57-18c35c9c_2.zip"
    for name in (*names, *(names[0].replace("_2", wrong) for wrong in ("_0", "_1", "_02", "_", "_2_2", "_1234567"))):
        (tmp_path / name).touch()
    found = backups_in(Files(tmp_path), STORE)
    assert [each.number for each in found] == [11, 10, 2, 1]
    assert [each.number for each in Keep(1, 1, 1, 1).expired(found)] == [1, 2, 10]


def made(at: datetime) -> NamedBackup:
    """Return the backup of a time."""
    return NamedBackup(name_of(STORE, at, 1, encrypted=False), at, 1, STORE[:8])


times = st.lists(
    st.integers(0, 425 * 86_400).map(lambda seconds: datetime(2025, 11, 1, tzinfo=UTC) + timedelta(seconds=seconds)),
    unique=True,
    max_size=60,
)
counts = st.integers(0, 6)


@given(times, st.integers(1, 6), counts, counts, counts)
def test_what_is_kept(moments: list[datetime], last: int, daily: int, weekly: int, monthly: int) -> None:
    """Ensure a backup is kept exactly if it is among the newest, or the newest of so many days, weeks, months."""
    keep = Keep(last, daily, weekly, monthly)
    expired = {backup.at for backup in keep.expired(map(made, moments))}
    newest_first = sorted(moments, reverse=True)
    kept = set(newest_first[:last])
    for count, form in ((daily, "%Y-%m-%d"), (weekly, "%G-%V"), (monthly, "%Y-%m")):
        periods = sorted({at.strftime(form) for at in moments}, reverse=True)[:count]
        kept |= {max(at for at in moments if at.strftime(form) == period) for period in periods}
    assert expired == set(moments) - kept
    assert not moments or max(moments) not in expired


def test_over_two_years_of_every_six_hours() -> None:
    """Ensure what is left, day by day, is a handful that reaches back a year, and pruning again takes nothing."""
    keep, backups = Keep(), list[NamedBackup]()
    start = datetime(2025, 1, 1, tzinfo=UTC)
    for number in range(4 * 730):
        backups.append(made(start + timedelta(hours=6 * number)))
        for gone in keep.expired(backups):
            backups.remove(gone)
    assert 18 <= len(backups) <= 26
    assert timedelta(days=300) < backups[-1].at - backups[0].at < timedelta(days=400)
    assert keep.expired(backups) == []


@pytest.mark.parametrize("wrong", [{"last": 0}, {"last": -1}, {"daily": -1}, {"weekly": -2}, {"monthly": -1}])
def test_rules_that_would_keep_nothing(wrong: dict[str, int]) -> None:
    """Ensure the newest backup can't be pruned by any rule."""
    with pytest.raises(ValueError, match="the newest backup is always kept"):
        Keep(**wrong)
