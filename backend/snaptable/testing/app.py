"""An application of a test, with its store: any ASGI application that a TestClient can run."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snaptable.database import Database
from snaptable.storage.disk.files import Files
from snaptable.testing.disk import SimulatedDisk
from snaptable.testing.oracle import CrashReport, delete_a_row, search_everywhere
from snaptable.testing.process import StoreProcess, abandon
from snaptable.testing.recorded_directory import contents_of
from snaptable.testing.recording import Recording
from snaptable.testing.survival import assert_survives_restart, sibling

if TYPE_CHECKING:
    from starlette.testclient import TestClient


class AppHandle(StoreProcess):
    """Be an application of a test.

    Attributes:
        client: a TestClient of the running application; another one after each restart.
        client_options: what a TestClient is made with.
    """

    client: "TestClient"

    def __init__(
        self,
        make: Callable[[Path], Any],
        directory: Path,
        report: Callable[[str], None],
        seed: int | None,
        record: "Callable[[Path], RecordedApp]",
        client_options: dict[str, Any],
    ) -> None:
        """Take what gives the application for a directory; `record` starts it on a copy, watched."""
        super().__init__(directory, report, seed)
        self._make, self._record, self.client_options = make, record, client_options

    @property
    def db(self) -> Database:
        """The database that the application opened.

        Raises:
            RuntimeError: it opened none in the test's directory.
        """
        found = self.opened_by()
        if found is None:
            raise RuntimeError(
                f"the application has opened no Database in {self.directory}; does it take the directory?"
            )
        return found

    def start(self) -> "TestClient":
        """Start the application, its lifespan included; return the client."""
        from starlette.testclient import TestClient

        self.client = TestClient(self._make(self.directory), **self.client_options)
        self.client.__enter__()
        return self.client

    def stop(self) -> None:
        """End the application, its lifespan included, and close the database where it did not."""
        self.client.__exit__()
        found = self.opened_by()
        if found is not None and found.is_open:
            found.close()

    def drop(self) -> None:
        """End what ran; the lifespan's end runs too, but nothing of it reaches the store."""
        with suppress(Exception):  # how a dead process ends is of no interest
            self.client.__exit__()
        found = self.opened_by()
        if found is not None:
            abandon(found)

    def restart(self) -> "TestClient":
        """End the application, and start it again; return the new client."""
        self.stop()
        return self.start()

    def assert_survives_restart(self) -> None:
        """Ensure that every row would come back equal; see `snaptable.testing.assert_survives_restart`."""
        assert_survives_restart(self.db)

    def crash_everywhere(
        self,
        workload: "Callable[[TestClient], object]",
        *,
        further: Callable[[Any], object] = delete_a_row,
        seed: int = 0,
        most: int = 25,
        nested: int = 0,
    ) -> CrashReport:
        """Run a workload on a copy, by its client, then judge every state a crash may leave the store in.

        See `snaptable.testing.crash_everywhere`; what the application keeps beside its store is not judged.
        """
        recorded = self._record(self.directory)
        workload(recorded.client)
        recorded.stop()
        return search_everywhere(recorded.run, further=further, seed=seed, most=most, nested=nested)


class RecordedApp(AppHandle):
    """Be an application whose store lies on a simulated disk.

    Attributes:
        run: the record.
    """

    def __init__(
        self,
        make: Callable[[Path], Any],
        directory: Path,
        report: Callable[[str], None],
        seed: int | None,
        record: "Callable[[Path], RecordedApp]",
        client_options: dict[str, Any],
    ) -> None:
        """Take what gives the application for a directory, which was copied there."""
        super().__init__(make, directory, report, seed, record, client_options)
        disk = SimulatedDisk(contents_of(directory), directory)
        self.run: Recording[Database] = Recording(lambda _: sibling(self.db, disk), disk)

    def files_for(self, db: Database) -> Files:
        """Return the simulated disk."""
        self.run.disk.fsync = db._fsync
        return self.run.disk

    def opened(self, db: Database) -> None:
        """Take note of it, and watch it."""
        super().opened(db)
        self.run.watch(db)
