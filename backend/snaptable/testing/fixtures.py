"""What the fixtures of the pytest plugin are: callables that make the stores and the applications of a test."""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, TypeVar, Unpack, cast, overload

import pytest

from snaptable.database.database import Database
from snaptable.engines import Filesystem, observe_opens
from snaptable.runtime.silenced_log import silenced_log
from snaptable.storage.disk.files import Files
from snaptable.testing.app import AppHandle, ClientOptions, RecordedApp
from snaptable.testing.process import SeedSource, StoreHandle, StoreProcess, copy_store
from snaptable.testing.recording import D

if TYPE_CHECKING:
    from starlette.types import ASGIApp

P = ParamSpec("P")
Process = TypeVar("Process", bound="StoreProcess[object]")


@dataclass(frozen=True)
class StoreTemplate(Generic[D]):
    """A store that was filled once, and is copied for each test that asks for it."""

    make: Callable[[Path], D]
    directory: Path


class TemplateFixture:
    """The fixture `snaptable_template`: fills a store once, for the tests of a session to have copies of it."""

    def __init__(self, new_directory: Callable[[], Path]) -> None:
        """Take what returns an existing, empty directory."""
        self._new_directory = new_directory

    def __call__(self, make: Callable[[Path], D], fill: Callable[[D], object]) -> StoreTemplate[D]:
        """Fill a store.

        Args:
            make: returns a closed database for a directory; the database's class does.
            fill: called with the open database.
        """
        directory = self._new_directory() / "data"
        with silenced_log(), observe_opens(_Unsynced(directory)), make(directory) as db:
            fill(db)
        return StoreTemplate(make, directory)


class _Unsynced:
    """An observer that spares a directory the syncs: no power cut happens while a template is filled."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def filesystem(self, database: Database, directory: Path) -> Filesystem | None:  # noqa: ARG002 - by the directory
        """Return the disk of the directory that is watched."""
        return self._files if directory == self._directory else None

    @staticmethod
    def _files(directory: Path, /, *, fsync: bool) -> Files:  # noqa: ARG004 - that is the point
        return Files(directory, fsync=False)

    def opened(self, database: Database) -> None:
        """Do nothing: it is the disk that is wanted."""


class ForkBases:
    """The stores that tests have forks of: each is opened once a session, from a copy of its template."""

    def __init__(self, new_directory: Callable[[], Path]) -> None:
        """Take what returns an existing, empty directory."""
        self._new_directory = new_directory
        self._open: dict[StoreTemplate[Database], Database] = {}

    def of(self, template: StoreTemplate[D]) -> D:
        """Return the open database of a template."""
        key = cast("StoreTemplate[Database]", template)
        if key not in self._open:
            directory = self._new_directory() / "data"
            copy_store(template.directory, directory)
            with silenced_log(), observe_opens(_Unsynced(directory)):
                self._open[key] = template.make(directory).open()
        return cast(D, self._open[key])

    def close(self) -> None:
        """Close them."""
        with silenced_log():
            for database in self._open.values():
                database.close()


class ForkFixture:
    """The fixture `snaptable_fork`: gives a test a fork, in memory, of a store that was filled once."""

    def __init__(self, bases: ForkBases) -> None:
        self._bases = bases
        self._forks: list[Database] = []

    def __call__(self, template: StoreTemplate[D]) -> D:
        """Return a database with the rows of a template, open, to be written to; no other test sees what is.

        It shares the rows with the others, so that it costs a millisecond for a hundred thousand of them, and an index
        is built when it is first asked. It has no files, and no rows of transient tables.

        Args:
            template: what `snaptable_template` gave.
        """
        fork = self._bases.of(template).history.fork()
        self._forks.append(fork)
        return fork

    def close(self) -> None:
        """Close the forks of the test."""
        for fork in self._forks:
            fork.close()


class StoreFactory:
    """The processes of one test, each in a directory of its own; they end with the test."""

    def __init__(self, root: Path, node: pytest.Item, monkeypatch: pytest.MonkeyPatch, seed: int | None) -> None:
        """Take a directory of the test's own; `seed` is that of everything that is chosen at random."""
        self._root, self._node, self._monkeypatch = root, node, monkeypatch
        self.seeds = SeedSource(self._report, seed)
        self._processes: dict[Path, StoreProcess[object]] = {}
        self._stack = ExitStack()
        self._stack.enter_context(observe_opens(self))

    def filesystem(self, database: Database, directory: Path) -> Filesystem | None:  # noqa: ARG002 - by the directory
        """Return the disk that a database finds in a directory of the test."""
        process = self._processes.get(directory)
        return None if process is None else process.mount

    def opened(self, database: Database) -> None:
        """Tell the process of the directory that a database was opened there."""
        process = None if database.directory is None else self._processes.get(database.directory)
        if process is not None and not database.read_only:
            process.opened(database)

    def new_directory(self, copied: Path | None = None) -> Path:
        """Return a directory for the next process, a copy of another if one is given; else it does not exist yet."""
        number = len(self._processes) + 1
        directory = self._root / ("data" if number == 1 else f"data-{number}")
        if copied is not None:
            copy_store(copied, directory)
        return directory

    def redirecting(self, db: D) -> Callable[[Path], D]:
        """Return a function that lets an existing database use a directory until the end of the test."""

        def redirect(directory: Path) -> D:
            """Let the database use a directory."""
            self._monkeypatch.setattr(db, "url", str(directory))
            return db

        return redirect

    def start(self, process: Process) -> Process:
        """Start a process; it is stopped at the end of the test."""
        self._processes[process.directory] = process

        def stop() -> None:
            """End the process, whatever it is doing."""
            with suppress(Exception):
                process.stop()

        self._stack.callback(stop)
        process.start()
        return process

    def close(self) -> None:
        """Stop what the test left running."""
        for process in self._processes.values():
            process.disk.heal()
        with silenced_log():
            self._stack.close()

    def _report(self, line: str) -> None:
        self._node.add_report_section("call", "snaptable", f"{line}\n")


class StoreFixture:
    """The fixture `snaptable_store`: opens a store in a directory of its own, and returns its handle."""

    def __init__(self, factory: StoreFactory) -> None:
        self._factory = factory

    @overload
    def __call__(self, what: D, /) -> StoreHandle[D]: ...
    @overload
    def __call__(self, what: StoreTemplate[D], /) -> StoreHandle[D]: ...
    @overload
    def __call__(
        self, what: Callable[Concatenate[Path, P], D], /, *args: P.args, **options: P.kwargs
    ) -> StoreHandle[D]: ...

    def __call__(
        self,
        what: D | StoreTemplate[D] | Callable[Concatenate[Path, P], D],
        /,
        *args: P.args,
        **options: P.kwargs,
    ) -> StoreHandle[D]:
        """Open a store.

        Args:
            what: a Database class, or any function that returns a closed database for a directory; a template, to
                begin with a copy of it; or a closed database, as of a module, which then uses the test's directory.
            args: further arguments of the class or function.
            options: its options.
        """
        if isinstance(what, StoreTemplate):
            return self._copy(what.make, what.directory)
        if isinstance(what, Database):
            redirect = self._factory.redirecting(what)
            return self._open(redirect, redirect, self._factory.new_directory())
        return self._open(lambda directory: what(directory, *args, **options), None, self._factory.new_directory())

    def _copy(self, make: Callable[[Path], D], source: Path) -> StoreHandle[D]:
        return self._open(make, None, self._factory.new_directory(source))

    def _open(self, make: Callable[[Path], D], redirect: Callable[[Path], D] | None, directory: Path) -> StoreHandle[D]:
        return self._factory.start(StoreHandle(make, directory, self._factory.seeds, redirect, self._copy))


class AppFixture(Generic[D]):
    """The fixture `snaptable_app`: starts an application in a directory of its own, and returns its handle.

    A test that annotates it as `AppFixture[Notes]` says of which class the application's database is.
    """

    def __init__(self, factory: StoreFactory) -> None:
        self._factory = factory

    @overload
    def __call__(
        self, make: "Callable[[Path], ASGIApp]", /, **client_options: Unpack[ClientOptions]
    ) -> AppHandle[D]: ...
    @overload
    def __call__(self, app: "ASGIApp", db: D, /, **client_options: Unpack[ClientOptions]) -> AppHandle[D]: ...

    def __call__(
        self,
        app: "ASGIApp | Callable[[Path], ASGIApp]",
        db: D | None = None,
        /,
        **client_options: Unpack[ClientOptions],
    ) -> AppHandle[D]:
        """Start an application.

        Args:
            app: a function that returns the application for a directory; or, with `db`, the application of a module.
            db: the module's database, closed, which the application opens; it then uses the test's directory.
            client_options: of the TestClient.
        """
        factory = self._factory
        redirect = None if db is None else factory.redirecting(db)
        make = cast("Callable[[Path], ASGIApp]", app) if redirect is None else _redirecting_app(redirect, app)

        def record(source: Path) -> RecordedApp[D]:
            """Return the handle of a copy of the files."""
            directory = factory.new_directory(source)
            return factory.start(RecordedApp(make, directory, factory.seeds, record, client_options))

        directory = factory.new_directory()
        return factory.start(AppHandle(make, directory, factory.seeds, redirect, record, client_options))


def _redirecting_app(redirect: Callable[[Path], object], app: object) -> "Callable[[Path], ASGIApp]":
    def make(directory: Path) -> "ASGIApp":
        """Return the application, which finds its store in the directory."""
        redirect(directory)
        return cast("ASGIApp", app)

    return make


def option_seed(config: pytest.Config) -> int | None:
    """Return the seed of the command line; None if it gives none."""
    option = cast("str | None", config.getoption("snaptable_seed"))
    if option is None:
        return None
    if not re.fullmatch(r"\d+", option):
        raise pytest.UsageError(f"--snaptable-seed takes a number, not {option!r}")
    return int(option)
