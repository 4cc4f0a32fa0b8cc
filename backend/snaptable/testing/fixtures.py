"""What the fixtures hand out: stores and applications in directories of their own, and seeds to fork them from."""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

import pytest

from snaptable.database import Database
from snaptable.silenced_log import silenced_log
from snaptable.storage.disk.files import Files
from snaptable.testing.app import AppHandle, RecordedApp
from snaptable.testing.process import StoreHandle, StoreProcess, copy_store
from snaptable.testing.recording import D

L = TypeVar("L", bound=StoreProcess)


@dataclass(frozen=True)
class StoreTemplate(Generic[D]):
    """Be a store that was filled once, and is copied for each test that wants it."""

    make: Callable[[Path], D]
    directory: Path


def make_seed(make: Callable[[Path], D], fill: Callable[[D], object], directory: Path) -> StoreTemplate[D]:
    """Fill a store once.

    Args:
        make: gives a closed database for a directory; the database's class does.
        fill: handed the open database.
        directory: where it may be; must not exist.
    """
    db = make(directory)
    db._fsync = False  # nothing of a test outlives a power cut
    with silenced_log(), db:
        fill(db)
    return StoreTemplate(make, directory)


class StoreFactory:
    """Make the stores of one test, and tidy up behind it."""

    def __init__(self, root: Path, node: pytest.Item, monkeypatch: pytest.MonkeyPatch, seed: int | None) -> None:
        """Take a directory of the test's own; `seed` chooses what is left to chance."""
        self._root, self._node, self._monkeypatch, self._seed = root, node, monkeypatch, seed
        self._lives: dict[Path, StoreProcess] = {}
        self._stack = ExitStack()
        self._lead_databases(Database._files, Database.open)

    def _lead_databases(self, plain_files: Callable[..., Files], plain_open: Callable[..., Any]) -> None:
        """Let every database that is opened in a directory of the test find the disk there."""

        def files(db: Database, directory: Path) -> Files:
            life = self._lives.get(directory)
            return plain_files(db, directory) if life is None else life.files_for(db)

        def opened(db: D) -> D:
            plain_open(db)
            life = None if db.directory is None else self._lives.get(db.directory)
            if life is not None and not db._read_only:
                life.opened(db)
            return db

        self._monkeypatch.setattr(Database, "_files", files)
        self._monkeypatch.setattr(Database, "open", opened)

    def close(self) -> None:
        """Close whatever the test left open."""
        for life in self._lives.values():
            life.disk.heal()
        with silenced_log():
            self._stack.close()

    @overload
    def store(self, what: D, **options: Any) -> StoreHandle[D]: ...
    @overload
    def store(self, what: StoreTemplate[D], **options: Any) -> StoreHandle[D]: ...
    @overload
    def store(self, what: Callable[[Path], D], **options: Any) -> StoreHandle[D]: ...

    def store(self, what: Any, **options: Any) -> StoreHandle[Any]:
        """Return an open store in a directory of its own.

        Args:
            what: a Database class, or anything that gives a closed database for a directory; a seed, to begin with a
                copy of it; or a closed database, as of a module, which is led to the test's directory.
            options: for the class.
        """
        if isinstance(what, StoreTemplate):
            return self._store(what.make, what.directory)
        make = self._lead(what) if isinstance(what, Database) else lambda directory: what(directory, **options)
        return self._store(make, None)

    def app(self, make: Any, db: Database | None = None, **client_options: Any) -> AppHandle:
        """Return a running application, its client ready.

        Args:
            make: gives the application for a directory; or the application of a module, with `db`.
            db: the module's database, which the application opens; it is led to the test's directory.
            client_options: for the TestClient.
        """
        if db is not None:
            lead, app = self._lead(db), make
            make = lambda directory: (lead(directory), app)[1]  # noqa: E731

        def record(source: Path) -> RecordedApp:
            copy_store(source, copied := self._directory())
            return self._begin(RecordedApp(make, copied, self._report, self._seed, record, client_options))

        return self._begin(AppHandle(make, self._directory(), self._report, self._seed, record, client_options))

    def _store(self, make: Callable[[Path], D], source: Path | None) -> StoreHandle[D]:
        directory = self._directory()
        if source is not None:
            copy_store(source, directory)
        again = lambda copied: self._store(make, copied)  # noqa: E731
        return self._begin(StoreHandle(make, directory, self._report, self._seed, again))

    def _lead(self, db: D) -> Callable[[Path], D]:
        def make(directory: Path) -> D:
            self._monkeypatch.setattr(db, "url", str(directory))
            return db

        return make

    def _directory(self) -> Path:
        number = len(self._lives) + 1
        return self._root / ("data" if number == 1 else f"data-{number}")

    def _begin(self, life: L) -> L:
        self._lives[life.directory] = life

        def stop() -> None:
            with suppress(Exception):
                life.stop()

        self._stack.callback(stop)
        life.start()
        return life

    def _report(self, what: str) -> None:
        self._node.add_report_section("call", "snaptable", f"{what}\n")


def option_seed(config: pytest.Config) -> int | None:
    """Return the seed from the command line."""
    given = config.getoption("snaptable_seed")
    if given is None:
        return None
    if not re.fullmatch(r"\d+", cast("str", given)):
        raise pytest.UsageError(f"--snaptable-seed takes a number, not {given!r}")
    return int(cast("str", given))
