"""The command line: which command, on which directory; what went wrong, in one line, and the exit status."""

import argparse
import os
import sys
from collections.abc import Sequence

from snaptable import SnaptableError, __version__
from snaptable.cli import accept, backup, check, migrate, repair, restore
from snaptable.cli.common import EXIT_FAILED, EXIT_INTERRUPTED, UsageError
from snaptable.maintenance.directory import NotAStore, program
from snaptable.silenced_log import silenced_log

DESCRIPTION = "Look after a store: the directory that holds db_snapshot.json and its journal."
EPILOG = "Exit status: 0 all is well, 1 there are problems or nothing was done, 2 the command was called wrongly."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog=program(), description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"snaptable {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (check, repair, accept, backup, restore, migrate):
        module.add(commands)
    options = parser.parse_args(arguments)
    try:
        with silenced_log():
            status: int = options.run(options)
            sys.stdout.flush()
            return status
    except (UsageError, NotAStore) as error:
        parser.error(str(error))
    except BrokenPipeError:  # the reader has seen enough: `snaptable check data | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (SnaptableError, OSError) as error:
        sys.stderr.write(f"snaptable: {error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
