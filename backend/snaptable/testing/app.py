"""An application of a test, with its store: any ASGI application that a TestClient can run."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypedDict

from snaptable.database.database import Database
from snaptable.storage.disk.files import Files
from snaptable.testing.disk import SimulatedDisk
from snaptable.testing.oracle import CrashReport, CrashSearch, delete_a_row, search_everywhere
from snaptable.testing.process import SeedSource, StoreProcess, abandon
from snaptable.testing.recorded_directory import contents_of
from snaptable.testing.recording import D, Recording, sibling
from snaptable.testing.survival import assert_survives_restart

if TYPE_CHECKING:
    from starlette.testclient import TestClient
    from starlette.types import ASGIApp


class ClientOptions(TypedDict, total=False):
    """Options of a TestClient; see Starlette."""

    base_url: str
    raise_server_exceptions: bool
    root_path: str
    backend: Literal["asyncio", "trio"]
    cookies: dict[str, str]
    headers: dict[str, str]
    follow_redirects: bool
    client: tuple[str, int]


class AppHandle(StoreProcess["TestClient"], Generic[D]):
    """An application of a test, and the client of it.

    Attributes:
        client: a TestClient of the running application; another one after each restart.
        client_options: what a TestClient is made with.
    """

    client: "TestClient"

    def __init__(
        self,
        make: "Callable[[Path], ASGIApp]",
        directory: Path,
        seeds: SeedSource,
        redirect: Callable[[Path], D] | None,
        record: "Callable[[Path], RecordedApp[D]]",
        client_options: ClientOptions,
    ) -> None:
        """Take what the handle is made of, see `StoreProcess`; nothing is started yet.

        Args:
            make: returns the application for a directory.
            directory: the store's.
            seeds: of what is chosen at random.
            redirect: lets the module's one database use a directory, if `make` returns the module's application.
            record: starts the application on a copy of a directory, on a simulated disk.
            client_options: what a TestClient is made with.
        """
        super().__init__(directory, seeds, redirect)
        self._make, self._record, self.client_options = make, record, client_options
        self._is_running = False

    @property
    def db(self) -> D:
        """The database that the application opened.

        Raises:
            RuntimeError: it opened none in the test's directory.
        """
        return self._opened()

    def _opened(self) -> D:
        if self.last_opened is None:
            raise RuntimeError(
                f"the application has opened no Database in {self.directory}; does it take the directory?"
            )
        return self.last_opened  # type: ignore[return-value]  # of the class that the fixture's annotation names

    @property
    def is_running(self) -> bool:
        """Whether the application is running."""
        return self._is_running

    def start(self) -> "TestClient":
        """Start the application, its lifespan included; return the client."""
        from starlette.testclient import TestClient

        self.client = TestClient(self._make(self.directory), **self.client_options)
        self.client.__enter__()
        self._is_running = True
        return self.client

    def stop(self) -> None:
        """End the application, its lifespan included, and close the database if that did not; else does nothing."""
        if self._is_running:
            self._is_running = False
            self.client.__exit__()
        # A module's database may be open elsewhere by now.
        if self.last_opened is not None and self.last_opened.directory == self.directory:
            self.last_opened.close()

    def discard(self) -> None:
        """End the application and its database; the end of the lifespan runs, but nothing of it reaches the store."""
        self._is_running = False
        with suppress(Exception):  # a killed process reports nothing
            self.client.__exit__()
        if self.last_opened is not None:
            abandon(self.last_opened)

    def assert_survives_restart(self) -> None:
        """Assert that every row would come back equal; see `snaptable.testing.assert_survives_restart`."""
        assert_survives_restart(self.db)

    def crash_everywhere(
        self,
        workload: "Callable[[TestClient], object]",
        *,
        check: Callable[[D], object] | None = None,
        follow_up: Callable[[D], object] = delete_a_row,
        seed: int = 0,
        max_states: int = 25,
        nested: int = 0,
    ) -> CrashReport:
        """Run a workload by a client of a copy, then open the store in every state that a crash may have left.

        See `snaptable.testing.crash_everywhere` for the arguments and for what is verified in each; what the
        application keeps beside its store is not. A module's one application is stopped meanwhile: `client` is another
        one afterwards.

        Raises:
            RuntimeError: the application opened no database in the test's directory.
        """
        self._opened()
        search = CrashSearch(seed=seed, max_states=max_states, nested=nested, follow_up=follow_up, check=check)
        with self._set_aside():
            recorded = self._record(self.directory)
            try:
                workload(recorded.client)
            finally:
                recorded.stop()
        return search_everywhere(recorded.recording, search)


class RecordedApp(AppHandle[D]):
    """An application whose store is on a simulated disk.

    Attributes:
        recording: what was done to the disk.
    """

    def __init__(
        self,
        make: "Callable[[Path], ASGIApp]",
        directory: Path,
        seeds: SeedSource,
        record: "Callable[[Path], RecordedApp[D]]",
        client_options: ClientOptions,
    ) -> None:
        """Take what the handle is made of; the directory is a copy."""
        super().__init__(make, directory, seeds, None, record, client_options)
        disk = SimulatedDisk(contents_of(directory), directory)
        self.recording: Recording[D] = Recording(lambda directory: sibling(self.db, directory), disk)

    def mount(self, directory: Path, /, *, fsync: bool) -> Files:
        """Return the simulated disk."""
        return self.recording.disk.mount(directory, fsync=fsync)

    def opened(self, database: Database) -> None:
        """Watch the database."""
        super().opened(database)
        self.recording.watch(database)
