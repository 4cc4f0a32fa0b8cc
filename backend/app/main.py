"""The command `backend`: read the options, open the store, serve until told to stop; `backend check` verifies it."""

import argparse
import logging
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.api.application import create_app
from app.library import Library
from app.resources import Resources
from app.server import check_tls, serve
from app.settings import Settings
from snaptable import BackupError, OpenError, StoreLocked
from snaptable.web.server import bind

__all__ = ["Library", "create_app", "main"]

DESCRIPTION = "Serve users, documents, extractions and annotations over HTTP, from one directory of readable files."
EPILOG = "Each option can also be set as an environment variable, or in a file .env: --data-dir is BACKEND_DATA_DIR."
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LOCKED = "one process writes to a directory: run one worker, stop the other process, or take another --data-dir"

CHECK = "check"
COMMANDS = """Left out: serve. `check`: verify the store's rows, constraints and indexes, and the bytes of every
document against their SHA-256; the store may be in use, and nothing is changed."""

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server, and return the exit status: 0 after a stop, 1 if it could not start, 2 for a wrong option.

    Of a check: 0 if all is sound, 1 if not.
    """
    command, settings = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of each form that is not valid
    if command == CHECK:
        return _check(settings)
    resources = Resources(settings)
    try:
        check_tls(settings)
        with bind(settings.host, settings.port) as listener:
            resources.open()
            serve(resources, listener)
    except StoreLocked as error:
        # What the library advises after the semicolon, to open it read-only, is not for a server.
        holder, _, _ = str(error).partition("; ")
        return _fail(f"cannot open the store: {holder}; {LOCKED}")
    except OpenError as error:
        return _fail(f"cannot open the store: {error}")
    except BackupError as error:
        return _fail(f"backups can't be made: {error}")
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:  # while the store was being opened: the server itself stops in order
        return EXIT_INTERRUPTED
    finally:
        resources.close_sync()
    return 0


def _check(settings: Settings) -> int:
    """Write what is wrong with the store, a problem a line, and return the exit status."""
    try:
        with Library(settings.data_dir, read_only=True, banner=False) as db:
            problems = db.check()
            documents = db.documents.count()
    except OpenError as error:
        return _fail(f"cannot open the store: {error}")
    summary = f"{len(problems)} problems" if problems else "sound"
    lines = [f"{settings.data_dir}: {summary}; {documents} documents verified", *(f"  {line}" for line in problems)]
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_FAILED if problems else 0


def _fail(reason: str) -> int:
    """Write in one line why the server did not start, and return the exit status."""
    sys.stderr.write(f"backend: {reason}\n")
    return EXIT_FAILED


def _parse(arguments: Sequence[str] | None) -> tuple[str | None, Settings]:
    """Return the command, and the options over the environment; what is wrong with these ends with status 2."""
    parser = argparse.ArgumentParser(prog="backend", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("command", nargs="?", choices=[CHECK], help=COMMANDS)
    for name, field in Settings.model_fields.items():
        _add_option(parser, name, field)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    command = given.pop("command", None)
    try:
        return command, Settings(**given)
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
