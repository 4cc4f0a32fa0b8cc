"""The functions that programs hand to this package, and where in the program it was called from, for messages."""

from collections.abc import Awaitable
from functools import lru_cache
from pathlib import Path
from types import CoroutineType, FrameType
from typing import TypeVar

T = TypeVar("T")

_PACKAGE = str(Path(__file__).parents[1] / "x")[:-1]
"""The folder of the library, with the separator at its end."""


def frame_of_caller(frame: FrameType | None) -> FrameType | None:
    """Return the first frame outside this package, and outside contextlib, from a frame outwards; O(depth)."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) and not name.endswith("contextlib.py"):
            return frame
        frame = frame.f_back
    return None


def not_awaitable(result: T) -> T:
    """Return what a program's function returned.

    Raises:
        TypeError: it is an awaitable: the function was none of the plain functions that `db.run` and `db.read` take.
    """
    kind: type = type(result)
    if _is_awaitable(kind):
        if isinstance(result, CoroutineType):
            result.close()
        raise TypeError("db.run and db.read take a plain function; this one returned an awaitable, and was rolled back")
    return result


@lru_cache(maxsize=512)
def _is_awaitable(kind: type) -> bool:
    return issubclass(kind, Awaitable)


def left_elsewhere(owner: str) -> str:
    """Return what is wrong with a transaction that was left by another thread, or task, than the one that began it."""
    return (
        f"a transaction was left by another {owner} than the one that began it, and was rolled back: a dependency with "
        "a `yield` may be entered and left on different threads. Begin and leave it in one function, or use "
        "db.run(fn, …)"
    )
