"""The present time, as it stands in files."""

import time
from datetime import UTC, datetime
from functools import lru_cache


def timestamp() -> str:
    """Return the present time, UTC, as it stands in files."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Return the time up to the second; spelled out once a second, not once a frame."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
