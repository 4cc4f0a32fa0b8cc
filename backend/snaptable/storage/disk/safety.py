"""Which files and directories are safe to use, as their status says: those that only their owner can replace."""

import os
import shlex
import stat
from pathlib import Path

from snaptable.storage.disk import names


def unsafe_file(path: Path, status: os.stat_result, admitted: int | None = None) -> str | None:
    """Return why a file is not opened, and what to do about it; None if it may be opened.

    Args:
        path: the file's.
        status: what lstat says of it.
        admitted: a user whose files are opened as well as this process's own.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = "is a symlink" if stat.S_ISLNK(status.st_mode) else "is not a regular file"
        return f"{path} {kind}; move it away, the store keeps its files as plain files of its own"
    if status.st_nlink > 1:
        file, copy = shlex.quote(str(path)), shlex.quote(f"{path}.copy")
        return (
            f"{path} has a second name (a hard link, as cp -al makes): a write to one would change the other. Give it "
            f"bytes of its own: cp -p {file} {copy} && mv {copy} {file}"
        )
    if os.name != "nt" and status.st_uid not in (os.geteuid(), admitted):
        return f"{path} belongs to user {status.st_uid}; {_owner_advice(path, status.st_uid, holds_store=True)}"
    return None


def unsafe_directory(path: Path, status: os.stat_result) -> str | None:
    """Return why a directory is not used, and what to do about it; None if it may be used."""
    if not stat.S_ISDIR(status.st_mode):
        kind = "is a symlink" if stat.S_ISLNK(status.st_mode) else "is not a directory"
        return f"{path} {kind}; move it away, the store keeps its folders itself"
    if os.name == "nt":
        return None
    if status.st_uid != os.geteuid():
        holds_store = _may_hold_store(path)
        below = f"use a directory below it, such as {path / 'store'}, which the store makes as its own; or "
        can_make = not holds_store and os.access(path, os.W_OK | os.X_OK)
        return (
            f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}; "
            f"{below * can_make}{_owner_advice(path, status.st_uid, holds_store=holds_store)}"
        )
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write to {path}; close it: chmod 700 {path}"
    return None


def denied(path: Path, error: OSError) -> str:
    """Return an error of opening a directory in words, with what to do if it is another user's."""
    if not isinstance(error, PermissionError) or os.name == "nt":
        return str(error)
    try:
        owner = path.stat().st_uid
    except OSError:
        return str(error)
    if owner == os.geteuid():
        return str(error)
    return f"{error}. It belongs to user {owner}; {_owner_advice(path, owner, holds_store=True)}"


def _may_hold_store(path: Path) -> bool:
    """Return whether a directory is a store's or a folder of one, or that can't be excluded."""
    if path.name in (names.JOURNAL, names.QUARANTINE, names.BEFORE):
        return True
    for name in (names.SNAPSHOT, names.JOURNAL, names.LOCK):
        try:
            (path / name).lstat()
        except FileNotFoundError:
            continue
        except OSError:
            return True
        return True
    return False


def _owner_advice(path: Path, owner: int, *, holds_store: bool) -> str:
    """Return what to do about a path of another user; also in a container, whose processes can't change owners.

    A process that has a store open would lose what is given to another user: that is said where there may be one.
    """
    as_owner = f"run this as that user: sudo -u {shlex.quote(_user_name(owner))} … (of a container: --user {owner})"
    chown = f"chown -R {os.geteuid()} {shlex.quote(str(path))}"
    if holds_store:
        return f"{as_owner}. Only if no process has the store open, its owner may be changed instead, as root: {chown}"
    return f"{as_owner}, or change the owner as root (for a volume on the host, or in an init container): {chown}"


def _user_name(number: int) -> str:
    """Return how `sudo -u` calls a user."""
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"
