"""The command `backend`: read the options, open the store, serve until told to stop."""

import argparse
import logging
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.api.application import create_app
from app.library import Library
from app.resources import Resources
from app.server import bind, serve
from app.settings import Settings
from snaptable import OpenError, StoreLocked

__all__ = ["Library", "create_app", "main"]

DESCRIPTION = "Serve users, documents, extractions and annotations over HTTP, from one directory of readable files."
EPILOG = "Each option can also be set as an environment variable, or in a file .env: --data-dir is BACKEND_DATA_DIR."
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LOCKED = "one process writes to a directory: run one worker, stop the other process, or take another --data-dir"

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server, and return the exit status: 0 after a stop, 1 if it could not start, 2 for a wrong option."""
    settings = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    resources = Resources(settings)
    try:
        with bind(settings.host, settings.port) as listener:
            resources.open()
            serve(resources, listener)
    except StoreLocked as error:
        # What the library advises after the semicolon, to open it read-only, is not for a server.
        holder, _, _ = str(error).partition("; ")
        return _fail(f"cannot open the store: {holder}; {LOCKED}")
    except OpenError as error:
        return _fail(f"cannot open the store: {error}")
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:  # while the store was being opened: the server itself stops in order
        return EXIT_INTERRUPTED
    finally:
        resources.close_sync()
    return 0


def _fail(reason: str) -> int:
    """Write in one line why the server did not start, and return the exit status."""
    sys.stderr.write(f"backend: {reason}\n")
    return EXIT_FAILED


def _parse(arguments: Sequence[str] | None) -> Settings:
    """Return the options over the environment; what is wrong with either ends the program with status 2."""
    parser = argparse.ArgumentParser(prog="backend", description=DESCRIPTION, epilog=EPILOG)
    for name, field in Settings.model_fields.items():
        _add_option(parser, name, field)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        option = str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
        parser.error(f"--{option}: {first['msg']}")


def _add_option(parser: argparse.ArgumentParser, name: str, field: FieldInfo) -> None:
    """Add the option of one setting; Pydantic converts what it is given."""
    flag = f"--{name.replace('_', '-')}"
    default = repr(field.default) if isinstance(field.default, str) else field.default
    help_text = f"{field.description} Default: {default}".replace("%", "%%")
    if field.annotation is bool:
        parser.add_argument(flag, default=None, help=help_text, action=argparse.BooleanOptionalAction)
    else:
        metavar = "N" if field.annotation in (int, float) else "TEXT"
        parser.add_argument(flag, default=None, help=help_text, metavar=metavar)


if __name__ == "__main__":
    raise SystemExit(main())
