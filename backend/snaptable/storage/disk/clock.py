"""The present time, as files spell it."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def timestamp() -> str:
    """Return the present time in UTC, to the microsecond: `2026-11-20T12:00:00.000000Z`."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Return the time up to the second; cached, because many frames are written within one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
