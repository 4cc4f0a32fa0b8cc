"""The stores that tests of the contract open: on each engine, new and empty, in memory or lasting."""

from abc import ABC, abstractmethod
from pathlib import Path
from sys import modules
from typing import Any, ClassVar, Literal, TypeVar, cast
from uuid import uuid4

from tests.snaptable.postgres import stores as postgres
from tests.snaptable.support import files_of

from snaptable import Database, InvalidRow

D = TypeVar("D", bound=Database)
EngineName = Literal["memory", "postgres"]
ENGINES: tuple[EngineName, ...] = ("memory", "postgres")


class Current:
    """Stands for the database that is open when a test runs, in what is written before: see `current`."""

    def __init__(self) -> None:
        self._database: Database | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)


def is_on_postgres(db: Database) -> bool:
    """Return whether a database is one of PostgreSQL."""
    return db.url.startswith("postgres")


def has_no_place(error: InvalidRow) -> bool:
    """Return whether a row was refused because PostgreSQL has no place for a value that memory takes.

    These are NUL in a text, whole numbers beyond 64 bits, times of day with an offset, Decimals of very many digits.
    """
    return " of PostgreSQL" in str(error) or "equal in PostgreSQL" in str(error)


def check_has_no_place(stores: "Stores", error: InvalidRow) -> None:
    """Check that a row was refused for that, by PostgreSQL."""
    assert stores.on_postgres
    assert has_no_place(error)


def current(kind: type[D]) -> D:
    """Return what stands for a database of a class until `use` says which one it is."""
    return cast("D", Current())


def use(standing: D, db: D) -> None:
    """Let what `current` returned be a database."""
    standing.__dict__["_database"] = db


class Stores(ABC):
    """Gives databases on one engine, each with a store of its own."""

    engine: EngineName

    @property
    def on_postgres(self) -> bool:
        """Whether the engine is PostgreSQL: for what one engine alone promises."""
        return self.engine == "postgres"

    @abstractmethod
    def new(self, kind: type[D], **options: Any) -> D:
        """Return a database, not open yet, in a new and empty store, which need not outlive closing."""

    @abstractmethod
    def lasting(self, kind: type[D], **options: Any) -> D:
        """Return a database, not open yet, in a new and empty store, which outlives closing."""

    @abstractmethod
    def again(self, db: D) -> D:
        """Return another database, not open yet, of the store of a closed one."""

    @abstractmethod
    def content(self, db: Database) -> dict[str, Any]:
        """Return all that a store keeps: its files, or the rows of its server's tables."""

    @abstractmethod
    def remove(self) -> None:
        """Remove every store."""


class MemoryStores(Stores):
    """Stores of the engine in memory: "memory:", and directories."""

    engine: EngineName = "memory"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def new(self, kind: type[D], **options: Any) -> D:
        return kind("memory:", **options)

    def lasting(self, kind: type[D], **options: Any) -> D:
        return kind(self._directory / uuid4().hex / "data", **{"fsync": False, **options})

    def again(self, db: D) -> D:
        return type(db)(db.url, fsync=False)

    def content(self, db: Database) -> dict[str, Any]:
        return files_of(Path(db.url))

    def remove(self) -> None:
        """Do nothing: the directory is pytest's."""


class PostgresStores(Stores):
    """Schemas of the tests' server."""

    engine: EngineName = "postgres"

    free: ClassVar[dict[type[Database], list[str]]] = {}
    """Schemas whose tables are those of a class that other tests will open too."""

    def __init__(self) -> None:
        self._given: list[Database] = []

    def new(self, kind: type[D], **options: Any) -> D:
        self._take_back(kind)
        urls = self.free.get(kind)
        if urls:
            url = urls.pop()
            postgres.empty_schema(url)
        else:
            url = postgres.new_schema()
        db = kind(url, **options)
        self._given.append(db)
        return db

    def _take_back(self, kind: type[Database]) -> None:
        """Take back the schemas of a class that examples before this one are done with."""
        done = [db for db in self._given if type(db) is kind and not db.is_open]
        if len(done) > 1:
            self._give_up(done[:-1])

    def _give_up(self, given: list[Database]) -> None:
        self._given = [db for db in self._given if db not in given]
        for db in given:
            if getattr(modules[type(db).__module__], type(db).__name__, None) is type(db):
                self.free.setdefault(type(db), []).append(db.url)
        kept = {url for urls in self.free.values() for url in urls}
        postgres.drop_schemas({db.url for db in given} - kept)

    lasting = new

    def again(self, db: D) -> D:
        return type(db)(db.url)

    def content(self, db: Database) -> dict[str, Any]:
        return postgres.content(db.url)

    def remove(self) -> None:
        for db in self._given:
            db.close()
        self._give_up(self._given)
