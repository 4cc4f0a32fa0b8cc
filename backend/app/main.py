"""The command `backend`: read the options, open the store, serve until told to stop; `backend check` verifies it."""

import argparse
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.settings import Settings

DESCRIPTION = "Serve users, documents, extractions and annotations over HTTP, from one directory of readable files."
EPILOG = "Each option can also be set as an environment variable, or in a file .env: --data-dir is BACKEND_DATA_DIR."
CHECK = "check"
COMMANDS = """Left out: serve. `check`: verify the store's rows, constraints and indexes, and the bytes of every
document against their SHA-256; the store may be in use, and nothing is changed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server, and return the exit status: 0 after a stop, 1 if it could not start, 2 for a wrong option.

    Of a check: 0 if all is sound, 1 if not.
    """
    command, settings = _parse(arguments)
    # Only now what serves: options, and what is wrong with them, shall not wait for the web framework.
    from app.running import run_check, run_server

    return run_check(settings) if command == CHECK else run_server(settings)


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
