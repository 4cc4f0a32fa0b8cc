"""`snaptable shell`: Python with the database as `db`, to read only."""

import code as interpreter
import sys

import snaptable
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, output
from snaptable.cli.looking import looking_at
from snaptable.cli.schema_option import load_schema
from snaptable.cli.settings import schema_of, store_of


def run(*, store: str | None, schema: str | None, code: str | None) -> int:
    """Start the interpreter, or run some code."""
    place = store_of(store)
    models = load_schema(schema_of(schema, place))
    if models is None:
        with looking_at(store) as contents:
            return _run({"db": contents}, f"db has the raw rows of {place}, commit {contents.sequence}", code)
    with models(place, read_only=True, banner=False) as db:
        names = {name: getattr(snaptable, name) for name in snaptable.__all__}
        rows = {table.model.__name__: table.model for table in db.tables.values()}
        about = f"{db!r}, to read only, commit {db.history.sequence}; tables: {', '.join(db.tables)}"
        return _run({**names, **rows, models.__name__: models, "db": db}, about, code)


def _run(names: dict[str, object], about: str, code: str | None) -> int:
    if code is not None:
        try:
            exec(compile(code, "<code>", "exec"), names)  # noqa: S102 - the user's own code is what is wanted
        except Exception:  # noqa: BLE001 - shown as Python shows it
            import traceback

            traceback.print_exc()
            return EXIT_FAILED
        return EXIT_SOUND
    _complete_names(names)
    banner = f"Python {sys.version.split()[0]}. {about}" if output().is_terminal else ""
    interpreter.interact(banner, local=names, exitmsg="")
    return EXIT_SOUND


def _complete_names(names: dict[str, object]) -> None:
    """Complete names by the tabulator, where there is a readline."""
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
