"""The options for keys and passphrases. No secret is an argument: those are seen by every user of the machine."""

import os
import sys

from snaptable.cli.common import UsageError

VARIABLE = "SNAPTABLE_PASSPHRASE"


def read_passphrase(*, wanted: bool, twice: bool = False) -> str | None:
    """Return the passphrase, None if none is wanted.

    Raises:
        UsageError: it is empty, no terminal is there to ask on, or the second one differs.
    """
    if not wanted:
        return None
    passphrase = os.environ.get(VARIABLE)
    if passphrase is None:
        if not (sys.stdin and sys.stdin.isatty()):
            raise UsageError(f"--passphrase: there is no terminal to ask on; set {VARIABLE}")
        import getpass  # not for help

        passphrase = getpass.getpass("Passphrase: ")
        if twice and getpass.getpass("Again: ") != passphrase:
            raise UsageError("--passphrase: the two differ")
    if not passphrase:
        raise UsageError("--passphrase: it is empty")
    return passphrase


def read_keys(paths: list[str]) -> list[bytes]:
    """Return the contents of files of keys.

    Raises:
        UsageError: one can't be read.
    """
    from pathlib import Path

    try:
        return [Path(path).read_bytes() for path in paths]
    except OSError as error:
        raise UsageError(f"--identity: {error}") from error
