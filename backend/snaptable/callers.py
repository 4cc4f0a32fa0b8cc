"""Where in the program this package was called from, for messages."""

from pathlib import Path
from types import FrameType

_PACKAGE = str(Path(__file__).parent / "x")[:-1]
"""The folder of this package, with the separator at its end."""


def frame_of_caller(frame: FrameType | None) -> FrameType | None:
    """Return the first frame outside this package, and outside contextlib, from a frame outwards; O(depth)."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) and not name.endswith("contextlib.py"):
            return frame
        frame = frame.f_back
    return None
