"""Renames that are more than rename(2): two names swapped, or a name taken only if it is free, each in one step."""

import errno
import os
import sys
from typing import Literal

Special = Literal["exchange", "exclusive"]
_CALLS = {"linux": ("renameat2", -100), "darwin": ("renameatx_np", -2)}
"""By platform: the call, and the number that stands for the working directory."""
_FLAGS: dict[tuple[str, Special], int] = {
    ("linux", "exchange"): 2, ("linux", "exclusive"): 1, ("darwin", "exchange"): 2, ("darwin", "exclusive"): 4
}  # fmt: skip
_NOT_OFFERED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)


def exchange(first: str, second: str) -> bool:
    """Swap what two paths stand for (RENAME_EXCHANGE); return False if the system or its file system can't.

    Raises:
        OSError: one of them is missing, or may not be renamed.
    """
    return _renamed(first, second, "exchange")


def rename_new(source: str, target: str) -> None:
    """Rename a file to a path that nothing has.

    Where no such step is offered, a file that another process gives the name in the same instant may be replaced.

    Raises:
        FileExistsError: something has it; both are as they were.
        OSError: it can't be renamed.
    """
    if os.name == "nt":
        os.rename(source, target)  # noqa: PTH104 - paths as text, as everywhere at this seam
        return
    if _renamed(source, target, "exclusive"):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.replace(source, target)  # noqa: PTH105 - likewise


def _renamed(first: str, second: str, how: Special) -> bool:
    """Make the system's call; return False if it isn't offered."""
    import ctypes  # rarely needed

    name, here = _CALLS.get(sys.platform, ("", 0))
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if call is None:
        return False
    flag = ctypes.c_uint(_FLAGS[sys.platform, how])
    if call(here, os.fsencode(first), here, os.fsencode(second), flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number), first, None, second)
