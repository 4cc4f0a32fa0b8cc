"""Which files and directories are safe to use, judged by their status: those that only their owner can replace."""

import os
import stat
from pathlib import Path


def unsafe_file(status: os.stat_result) -> str | None:
    """Return why a file is not opened, None if it may be."""
    if stat.S_ISLNK(status.st_mode):
        return "is a symlink"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_nlink > 1:
        return "has a second name (a hard link)"
    if os.name != "nt" and status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}"
    return None


def unsafe_directory(path: Path, status: os.stat_result) -> str | None:
    """Return why a directory is not used, and what to do about it; None if it may be used."""
    if not stat.S_ISDIR(status.st_mode):
        kind = "is a symlink" if stat.S_ISLNK(status.st_mode) else "is not a directory"
        return f"{path} {kind}; move it away, the store keeps its folders itself"
    if os.name == "nt":
        return None
    if status.st_uid != os.geteuid():
        return (
            f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}; "
            f"change the owner (chown) or take another directory"
        )
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write to {path}; close it: chmod 700 {path}"
    return None
