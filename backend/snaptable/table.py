"""Table[Model]: what users hold of a table, on whichever engine. It forwards."""

from collections.abc import Callable, Iterable, Iterator
from operator import length_hint

from snaptable.contract import EVERYTHING, M, Select, TableEngine
from snaptable.errors import DatabaseClosed, InvalidQuery, RowNotFound
from snaptable.query.query import Query
from snaptable.query.questions import Questions
from snaptable.query.source import QuerySource
from snaptable.runtime.progress import Progress
from snaptable.schema.keys import check_key
from snaptable.schema.tables import TableSchema


class Table(Questions[M]):
    """The rows of one model by primary key, in the order of insertion.

    Reads answer from memory and see the last durable state, or the caller's open transaction. Each write is a
    transaction of its own unless one is open, and returns when it is durable: it survives a crash and a power cut. A
    write that raises left nothing behind. In every method the primary key is positional only.

    The examples below are of a database `db` with a table `users: Table[User]`:

        class User(Row):
            id: str
            age: int = 0

    which holds ann, who is 31, and ben, who is 25.

    Attributes:
        name: the table's name, in code and in the file.
        model: the class of its rows.
        schema: its key, its indexes, its foreign keys.
    """

    def __init__(self, schema: TableSchema, database: str) -> None:
        """Take what was declared, and the name of the Database class, which makes its tables itself."""
        self.schema = schema
        self.name = schema.name
        self.model: type[M] = schema.model  # type: ignore[assignment]
        self._source = QuerySource[M](schema, database)
        self._database: Callable[[], object] = lambda: None
        """Gives the database while something refers to it; set by it."""

    def __repr__(self) -> str:
        try:
            count = self.count()
        except DatabaseClosed:
            return f"<Table {self.name} of {self.model.__name__} (closed)>"
        return f"<Table {self.name}: {count:,} row{'s' * (count != 1)} of {self.model.__name__}>"

    def _asked(self) -> tuple[QuerySource[M], Select]:
        return self._source, EVERYTHING

    def _bind(self, engine: TableEngine[M] | None, opening: object = None) -> None:
        """Connect the table to an open engine, or to none; called by `Database`, which is open as long as `opening`."""
        self._source.bind(engine, opening)
        if engine is None:
            self.__dict__.pop("get", None)
        else:
            # The engine's own method in place of this class's: one call less on the hottest path.
            self.__dict__["get"] = engine.get

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, key: object, /) -> M | None:
        """Return the row of a primary key, or None; O(1).

        None is not a key: `db.users.get(document.owner_id)` is None if the reference is.

        Raises:
            InvalidKey: no row has it, and it is of another type than the table's keys (a TypeError).

        >>> db.users.get("ann")
        User(id='ann', age=31)
        >>> db.users.get("eve")
        """
        return self._source.engine.get(key)

    def __getitem__(self, key: object, /) -> M:
        """Return the row of a primary key; O(1).

        Raises:
            RowNotFound: no row has it (a KeyError).
            InvalidKey: it is of another type than the table's keys.

        >>> db.users["ann"].age
        31
        """
        row = self._look_up(key)
        if row is None:
            raise RowNotFound(f"{self.name} has no row {key!r}", table=self.name, key=key)
        return row

    def _look_up(self, key: object) -> M | None:
        """Return what `get` does; what can't be hashed is an InvalidKey too."""
        try:
            return self.get(key)
        except InvalidQuery:
            raise
        except TypeError:
            schema = self.schema
            check_key(self.name, schema.key, schema.key_type, key)
            raise

    def __contains__(self, key: object, /) -> bool:
        """Return whether a row has this primary key; O(1).

        Raises:
            InvalidKey: it is of another type than the table's keys.

        >>> "eve" in db.users
        False
        """
        return self._look_up(key) is not None

    def __len__(self) -> int:
        """Return the number of rows; O(1).

        >>> len(db.users)
        2
        """
        return self.count()

    def __bool__(self) -> bool:
        """Return True: a table without rows is still a table."""
        return True

    def __iter__(self) -> Iterator[M]:
        """Iterate over all rows in the order of insertion, as of one state; later writes don't disturb it. O(n).

        >>> [user.id for user in db.users]
        ['ann', 'ben']
        """
        return iter(self.all())

    def all(self) -> list[M]:
        """Return every row in the order of insertion, as of one state; O(n).

        >>> db.users.all()
        [User(id='ann', age=31), User(id='ben', age=25)]
        """
        return self._source.engine.select(EVERYTHING)

    def count(self) -> int:
        """Return the number of rows; O(1).

        >>> db.users.count()
        2
        """
        return self._source.engine.count(EVERYTHING)

    def where(self, /, *conditions: bool | int, **equals: object) -> Query[M]:
        """Return the query for rows for which all conditions hold; for every row without any. Nothing runs yet.

        Args:
            conditions: as in `User.age > 3`, combined with `&`, `|` and `~`; of what is inside of a field's values as
                in `Document.box.x > 3` or `Document.metadata["lang"] == "de"`: what isn't there is None.
            equals: values by field name, `None` included.

        Raises:
            InvalidQuery: a condition of another table, an unknown field, a value of the wrong type.

        >>> db.users.where(User.age > 30, id="ann").all()
        [User(id='ann', age=31)]
        """
        source = self._source
        return Query(source, Select(*source.resolve(conditions, equals)))

    def order_by(self, /, *keys: object) -> Query[M]:
        """Return the query for every row, sorted; see `Query.order_by`.

        Raises:
            InvalidQuery: a column of another table, or one whose values have no order.

        >>> db.users.order_by(User.age).all()
        [User(id='ben', age=25), User(id='ann', age=31)]
        """
        return Query(self._source, Select((), (), self._source.orders(keys)))

    def filter(self, keep: Callable[[M], object], /) -> Query[M]:
        """Return the query for rows for which a function returns something true; see `Query.filter`.

        Raises:
            InvalidQuery: it is not a function, or a coroutine function.

        >>> db.users.filter(lambda user: user.age % 5 == 0).all()
        [User(id='ben', age=25)]
        """
        return Query(self._source, EVERYTHING).filter(keep)

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, /, **fields: object) -> M:
        """Add a row made of field values, validated once, and return it as stored; for values from outside.

        O(1), O(log n) for each ordered index, and one sync of the disk.

        Raises:
            InvalidRow: a field is unknown, missing, does not validate, or would not come back equal after a restart.
            DuplicateKey: a row has the key already.
            UniqueViolation, ForeignKeyViolation: at the commit.
            WriteFailed: it could not be made durable; it was rolled back.
            ReadOnlyStore: writes are refused; the message says why.

        >>> db.users.create(id="eve", age="7")
        User(id='eve', age=7)
        """
        return self._source.engine.insert_values(fields)

    def insert(self, row: M, /) -> M:
        """Add a row and return it as stored; O(1), O(log n) for each ordered index, and one sync of the disk.

        Raises:
            InvalidRow: it does not validate, or would not come back equal after a restart.
            DuplicateKey: a row has the key already.
            UniqueViolation, ForeignKeyViolation: at the commit.
            WriteFailed: it could not be made durable; it was rolled back.
            ReadOnlyStore: writes are refused; the message says why.

        >>> db.users.insert(User(id="eve", age=7))
        User(id='eve', age=7)
        """
        return self._source.engine.insert(row)

    def insert_many(self, rows: Iterable[M], /, *, progress: bool = False) -> list[M]:
        """Add rows, all or none, and return them as stored; one sync of the disk for all. Raises as `insert`.

        Args:
            rows: taken one by one; what iterating raises rolls everything back.
            progress: whether to show how far it is when it takes more than 2 seconds: a bar on a terminal, log lines
                elsewhere.

        >>> db.users.insert_many(User(id=name) for name in ("eve", "joe"))
        [User(id='eve', age=0), User(id='joe', age=0)]
        """
        if not progress:
            return self._source.engine.insert_many(rows)
        with Progress(length_hint(rows), f"Inserting into {self.name}") as shown:
            return self._source.engine.insert_many(shown.through(rows))

    def update(self, key: object, /, **changes: object) -> M:
        """Change fields of a row, validated whole, and return the new row; it keeps its place in the file. As `insert`.

        Args:
            key: the row's.
            changes: values by field name; of a numeric column also `column + number`, with + - or *, worked out in the
                transaction: no other write comes between. None stays None.

        Raises:
            RowNotFound: no row has the key; InvalidKey: it is of another type than the table's keys.
            InvalidQuery: an expression of another table's column.
            InvalidRow: it does not validate, or the key itself would change. Otherwise as `insert`.

        >>> db.users.update("ann", age=32)
        User(id='ann', age=32)
        >>> db.users.update("ann", age=User.age + 1)
        User(id='ann', age=33)
        """
        return self._source.engine.update(key, self._source.changes(changes))

    def replace(self, row: M, /, *, expected: M | None = None) -> M:
        """Put a row in the place of the one with the same key, and return it as stored. Costs as `insert`.

        Args:
            row: the new row.
            expected: the row that was read before; the stored one must still be equal to it.

        Raises:
            RowNotFound: no row has the key. Otherwise as `insert`.
            StaleRow: the stored row isn't equal to `expected`; the error carries it.

        >>> db.users.replace(User(id="ann", age=32), expected=User(id="ann", age=31))
        User(id='ann', age=32)
        """
        return self._source.engine.replace(row, expected)

    def upsert(self, row: M, /, *, by: object = None) -> M:
        """Put a row in the place of the one with the same key, or add it; return it as stored.

        Costs and raises as `insert`.

        Args:
            row: the new row.
            by: a unique column: the row that has the same value there is replaced, and keeps its key.

        Raises:
            InvalidQuery: `by` is not unique, or of another table.

        >>> db.users.upsert(User(id="eve", age=7))
        User(id='eve', age=7)
        """
        source = self._source
        return source.engine.upsert(row, None if by is None else source.unique_column(by))

    def get_or_insert(self, row: M, /, *, by: object = None) -> M:
        """Return the row that has the same key, as it is stored; without one, add this row. Costs as `insert`.

        Args:
            row: what is added if there is none.
            by: a unique column: the row that has the same value there is meant.

        Raises:
            InvalidQuery: `by` is not unique, or of another table. Otherwise as `insert`.

        >>> db.users.get_or_insert(User(id="ann", age=7))
        User(id='ann', age=31)
        """
        source = self._source
        return source.engine.get_or_insert(row, None if by is None else source.unique_column(by))

    def delete(self, key: object, /) -> M:
        """Remove a row, and through foreign keys what goes with it, and return the row.

        O(rows removed or changed), O(log n) for each and each ordered index, and one sync of the disk.

        Raises:
            RowNotFound: no row has the key; InvalidKey: it is of another type than the table's keys.
            ForeignKeyViolation: at the commit: rows that stay refer to it, with `on_delete="restrict"`.
            WriteFailed, ReadOnlyStore: as `insert`.

        >>> db.users.delete("ben")
        User(id='ben', age=25)
        """
        return self._source.engine.delete(key)
