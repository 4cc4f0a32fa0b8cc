"""Figures, sizes and times as people read them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

KEY_CHARACTERS, LONG_KEY = 8, 16
"""How much is shown of a key that is longer than that."""
UNITS = ("bytes", "KB", "MB", "GB", "TB")


def number(value: float) -> str:
    """Return a whole number with its thousands apart.

    >>> number(81523)
    '81,523'
    """
    return f"{value:,}"


def size(value: int) -> str:
    """Return a number of bytes in the unit that suits it.

    >>> size(37_800_000), size(700)
    ('37.8 MB', '700 bytes')
    """
    amount, unit = float(value), 0
    while amount >= 1000 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    if unit == 0:
        return "1 byte" if value == 1 else f"{value} bytes"
    return f"{amount:.0f} {UNITS[unit]}" if amount >= 100 else f"{amount:.1f} {UNITS[unit]}"


def ago(then: datetime, now: datetime | None = None) -> str:
    """Return how long ago a time was, in one unit.

    >>> ago(datetime(2026, 1, 1, 12, 0, tzinfo=UTC), datetime(2026, 1, 1, 12, 3, tzinfo=UTC))
    '3 min ago'
    """
    seconds = max(0, int(((now or datetime.now(UTC)) - then).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def moment(value: datetime) -> str:
    """Return a time to the minute.

    >>> moment(datetime(2026, 11, 27, 21, 37, 4))
    '27 Nov 2026, 21:37'
    """
    return f"{value.day} {value:%b} {value.year:04d}, {value:%H:%M}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a number of things.

    >>> plural(1, "row"), plural(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def json_value(value: object, most: int = 60) -> str:
    """Return a value of JSON on one line, cut.

    >>> json_value("user"), json_value(None)
    ('"user"', 'null')
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def excerpts(before: object, after: object, most: int = 60) -> tuple[str, str]:
    """Return a value before and after, each on one line and cut, so that what differs can be seen.

    >>> excerpts("a" * 90 + " old", "a" * 90 + " new", most=24)
    ('…aaaaaaa old"', '…aaaaaaa new"')
    """
    texts = [json.dumps(value, ensure_ascii=False) for value in (before, after)]
    alike = next((at for at, (old, new) in enumerate(zip(*texts, strict=False)) if old != new), min(map(len, texts)))
    begin = alike - most // 3 if alike > most // 2 and max(map(len, texts)) > most else 0
    shown = [f"…{text[begin:]}" if begin else text for text in texts]
    old, new = (text if len(text) <= most else f"{text[: most - 1]}…" for text in shown)
    return old, new


def short_key(key: object) -> str:
    """Return a key as a line shows it: a long one cut.

    >>> short_key("2f2c8b01-9706-4087-a34d-9f04590a2a32"), short_key("ada")
    ('2f2c8b01', 'ada')
    """
    text = str(key)
    return text[:KEY_CHARACTERS] if len(text) > LONG_KEY else text


FILTERS: dict[str, Callable[..., object]] = {
    "number": number,
    "size": size,
    "ago": ago,
    "moment": moment,
    "plural": plural,
    "json_value": json_value,
    "excerpts": excerpts,
    "short_key": short_key,
}
"""For templates."""
