"""`snaptable move SOURCE TARGET`: from a directory to PostgreSQL, proved row by row; and back."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from snaptable import Database
from snaptable.cli.common import EXIT_SOUND, UsageError, describe_counts, output, say
from snaptable.cli.schema_option import load_last, load_schema
from snaptable.cli.settings import schema_of
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.moving import Moved, Report, follow, is_url, move
from snaptable.maintenance.moving.following import is_moved
from snaptable.runtime.progress import Progress


class _Shown(Report):
    """The steps of a move on the terminal, and how far each is if it takes long."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def step(self, doing: str, rows: int = 0) -> None:
        """Say what begins, and show its progress."""
        self.end()
        say(f"  {doing}" + (f": {rows:,} rows" if rows else ""))
        self._progress = Progress(rows, doing)

    def done(self, rows: int) -> None:
        """Show that rows, or commits, are done."""
        if self._progress is not None:
            self._progress.advance(rows)

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)


class _Followed(Report):
    """The number of commits applied, on the terminal."""

    def done(self, rows: int) -> None:
        """Show that rows, or commits, are done."""
        say(f"  {rows:,} commits applied")


def run(*, source: str, target: str, schema: str | None, folders: str | None, follows: bool, until_closed: bool) -> int:
    """Move, and follow if that is wanted; return 0 if every row is there."""
    follows = follows or until_closed
    if follows and not is_url(target):
        raise UsageError("--follow is for a move to PostgreSQL")
    models = _models_of(schema, source, target)
    told: dict[str, object] = {}
    if not (follows and is_moved(target, models)):
        report = _Shown()
        try:
            moved = move(source, target, schema=models, folders=folders, running=follows, report=report)
        finally:
            report.end()
        told = _tell(moved)
    if follows:
        told |= _follow(source, target, models, until_closed=until_closed)
    if output().as_json:
        output().document(told)
    return EXIT_SOUND


def _models_of(schema: str | None, source: str, target: str) -> type[Database]:
    directory = target if is_url(source) else source
    models = load_schema(schema_of(schema, directory))
    if models is None and not is_url(source):
        models, reason = load_last(StoreDirectory(source).last_models())
        if models is None:
            raise UsageError(f"name the Database class, --schema MODULE:DATABASE: {reason}")
    if models is None:
        raise UsageError("name the Database class, --schema MODULE:DATABASE")
    return models


def _tell(moved: Moved) -> dict[str, object]:
    say(f"Moved: {describe_counts(moved.rows)}, as of commit {moved.sequence}; each read back and compared.")
    return {"rows": dict(moved.rows), "sequence": moved.sequence, "store": moved.store, "files": moved.files}


def _follow(source: str, target: str, models: type[Database], *, until_closed: bool) -> dict[str, object]:
    say("Following; stop the program that writes, then this." if not until_closed else "Following until it is closed.")
    with _interrupts() as interrupted:
        followed = follow(
            source,
            target,
            schema=models,
            stop=lambda is_closed: bool(interrupted) or (until_closed and is_closed),
            report=_Followed(),
        )
    state = "closed in order" if followed.is_closed else "still open, or not closed in order"
    say(f"The database is at commit {followed.sequence}; the directory is {state}.")
    return {"followed_to": followed.sequence, "applied": followed.commits, "closed": followed.is_closed}


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Give a list that Ctrl-C, or SIGTERM, adds to: what is being applied is applied whole."""
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        """Take note of a signal: the move ends at the next commit."""
        caught.append(number)

    former = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
