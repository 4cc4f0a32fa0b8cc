"""How the commands that change a store get at it: through the server that has it open, else by its lock and models."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snaptable import Database, HistoryGone, StoreLocked, UndoConflict
from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_HELD,
    CommandError,
    UsageError,
    output,
)
from snaptable.cli.schema_option import load_last, load_schema
from snaptable.cli.settings import schema_of, store_of
from snaptable.cli.statuses import BY_NAME
from snaptable.control.addresses import user_name
from snaptable.control.client import NoServer, Refused, ask
from snaptable.control.operations import perform
from snaptable.maintenance.directory import StoreDirectory

Shape = dict[str, Any]
_CALLED_WRONGLY = ("InvalidRequest", "ValueError", "HistoryGone", "InvalidKey", "RowNotFound")
ADVICE = (
    "stop it, or let it listen: `snaptable serve`, snaptable.web.serve(app) and db_socket(db) open a db.socket that "
    "this command writes through"
)


@dataclass
class Changer:
    """What carries operations out on a store.

    Attributes:
        place: the store.
        pid: the server that does it; None if this process does.
    """

    place: Path
    db: Database | None = None
    pid: int | None = None

    def perform(self, operation: str, **given: object) -> Shape:
        """Carry an operation out, and return what it did.

        Raises:
            UsageError, CommandError: it was called wrongly, or is refused; with the exit status.
            UndoConflict: something is in the way; of a server's it is a Refused.
        """
        try:
            if self.db is None:
                done, self.pid = ask(self.place, operation, given)
                return done
            return perform(self.db, operation, given, actor=user_name(None))
        except Refused as error:
            raise refused_with(error) from error
        except NoServer:
            raise CommandError(f"the server of {self.place} has gone; call this again", EXIT_FAILED) from None
        except (ValueError, HistoryGone) as error:
            if type(error).__name__ in BY_NAME:
                raise
            raise UsageError(str(error)) from error

    @property
    def by_whom(self) -> str:
        """Return what is said of a change that was made: by the server, or nothing."""
        return f"; applied by the server, pid {self.pid}" if self.pid is not None else ""


def refused_with(error: Refused) -> Exception:
    """Return the error that a server's refusal is here."""
    if error.name == UndoConflict.__name__:
        return error
    if error.name in _CALLED_WRONGLY:
        return UsageError(str(error))
    return CommandError(str(error), BY_NAME.get(error.name, EXIT_FAILED))


@contextmanager
def changing(store: str | None, schema: str | None) -> Iterator[Changer]:
    """Give what changes a store: the server that has it open, else this process, which holds the lock for the block.

    Raises:
        NotAStore: no store is there.
        UsageError: it is closed, and no models are known, which say what may be written.
        CommandError: a process has it open that doesn't listen.
    """
    place = store_of(store)
    if "://" in place:
        with _models(place, schema, "")(place, banner=False, migrate="manual") as db:
            yield Changer(Path(place), db)
        return
    directory = StoreDirectory(place)
    try:
        _, pid = ask(directory.root, "status", {})
    except NoServer:
        pass
    else:
        yield Changer(directory.root, pid=pid)
        return
    models = _models(place, schema, directory.last_models())
    database = models(directory.root, banner=False, migrate="manual")
    try:
        database.open()
    except StoreLocked as error:
        raise CommandError(f"{str(error).partition(';')[0]}; it doesn't listen: {ADVICE}", EXIT_HELD) from error
    try:
        yield Changer(directory.root, database)
    finally:
        database.close()


def _models(place: str, schema: str | None, last: str) -> type[Database]:
    models = load_schema(schema_of(schema, place))
    if models is None:
        models, reason = load_last(last)
        if models is None:
            raise UsageError(
                f"a change is checked against the models: name the Database class, --schema MODULE:DATABASE; {reason}"
            )
    return models


def write_document(shape: Shape, changer: Changer, *, dry_run: bool) -> None:
    """Write what was done as the JSON document, if one is wanted."""
    out = output()
    if out.as_json:
        out.document({**shape, "dry_run": dry_run, "pid": changer.pid})
