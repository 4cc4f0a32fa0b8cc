"""`snaptable shell`: Python with the database as `db`, to read only."""

import code as interpreter
import sys
from collections.abc import Iterator, Mapping

import snaptable
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, output
from snaptable.cli.looking import looking_at
from snaptable.cli.schema_option import load_schema
from snaptable.cli.settings import schema_of, store_of
from snaptable.history.fields import Fields
from snaptable.maintenance.raw_store import RawStore


class RawRows(Mapping[str, Fields]):
    """The rows of a table as they stand in the file, by the text of their key; secrets are masked."""

    def __init__(self, contents: RawStore, table: str) -> None:
        self._contents, self._table = contents, table

    def __getitem__(self, key: object) -> Fields:
        """Return a row; 1 and "1" are one key."""
        row = self._contents.row(self._table, str(key))
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return iter(self._contents.keys(self._table))

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._contents.keys(self._table))

    def __repr__(self) -> str:
        """Return the table, and how many rows it has."""
        return f"<{self._table}: {len(self):,} rows>"


class RawDatabase:
    """The tables of a store without models: `db.users`."""

    def __init__(self, contents: RawStore) -> None:
        self._contents = contents

    def __getattr__(self, name: str) -> RawRows:
        """Return a table by its name."""
        if not self._contents.has_table(name):
            raise AttributeError(f"the store has no table {name!r}; it has {self._names()}")
        return RawRows(self._contents, name)

    def __dir__(self) -> list[str]:
        """Return the names of the tables."""
        return [each.name for each in self._contents.tables()]

    def __repr__(self) -> str:
        """Return the tables, and how many rows each has."""
        return f"<raw rows, commit {self._contents.sequence}: {self._names()}>"

    def _names(self) -> str:
        return ", ".join(each.name for each in self._contents.tables())


def run(*, store: str | None, schema: str | None, code: str | None) -> int:
    """Start the interpreter, or run some code."""
    place = store_of(store)
    models = load_schema(schema_of(schema, place))
    if models is None:
        with looking_at(store) as contents:
            raw = RawDatabase(contents)
            about = f"{place}: db = {raw!r}; a row is db.TABLE['KEY']"
            return _run({"db": raw}, about, code)
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
