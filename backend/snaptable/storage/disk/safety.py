"""Which files and directories are safe to use, judged by their status: those that only their owner can replace."""

import os
import shlex
import stat
from pathlib import Path


def unsafe_file(path: Path, status: os.stat_result) -> str | None:
    """Return why a file is not opened, and what to do about it; None if it may be opened."""
    if not stat.S_ISREG(status.st_mode):
        kind = "is a symlink" if stat.S_ISLNK(status.st_mode) else "is not a regular file"
        return f"{path} {kind}; move it away, the store keeps its files as plain files of its own"
    if status.st_nlink > 1:
        file, copy = shlex.quote(str(path)), shlex.quote(f"{path}.copy")
        return (
            f"{path} has a second name (a hard link, as cp -al makes): a write to one would change the other. Give it "
            f"bytes of its own: cp -p {file} {copy} && mv {copy} {file}"
        )
    if os.name != "nt" and status.st_uid != os.geteuid():
        return f"{path} belongs to user {status.st_uid}; {_owner_advice(path, status.st_uid)}"
    return None


def unsafe_directory(path: Path, status: os.stat_result) -> str | None:
    """Return why a directory is not used, and what to do about it; None if it may be used."""
    if not stat.S_ISDIR(status.st_mode):
        kind = "is a symlink" if stat.S_ISLNK(status.st_mode) else "is not a directory"
        return f"{path} {kind}; move it away, the store keeps its folders itself"
    if os.name == "nt":
        return None
    if status.st_uid != os.geteuid():
        below = f"use a directory below it, such as {path / 'store'}, which the store makes as its own; or "
        return (
            f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}; "
            f"{below if os.access(path, os.W_OK | os.X_OK) else ''}{_owner_advice(path, status.st_uid)}"
        )
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write to {path}; close it: chmod 700 {path}"
    return None


def _owner_advice(path: Path, owner: int) -> str:
    """Return what to do about a path of another user; also in a container, whose processes can't change owners."""
    return (
        f"run this as that user (of a container: --user {owner}), or change the owner as root (for a volume on the "
        f"host, or in an init container): chown -R {os.geteuid()} {shlex.quote(str(path))}"
    )
