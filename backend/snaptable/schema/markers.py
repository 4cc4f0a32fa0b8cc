"""Unique, Index, ForeignKey, PrimaryKey: what the fields of rows are marked with; and the usual defaults of fields."""

from dataclasses import dataclass
from datetime import UTC, datetime
from os import urandom
from typing import Literal, cast, get_args

from pydantic import BaseModel, Field

from snaptable.errors import SchemaError
from snaptable.schema.on_update import OnUpdate
from snaptable.secrets import Secret

OnDelete = Literal["cascade", "restrict", "set null"]
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The digit that begins a UUID's fourth group, by a random one: its two upper bits are 10."""


def new_id() -> str:
    """Return a new random UUID (version 4) as text, 36 characters: the usual default of a key.

    >>> class User(Row):
    ...     id: str = Field(default_factory=new_id)
    >>> len(User().id)
    36
    """
    digits = urandom(16).hex()
    # RFC 9562, 5.4: one digit says the version, two bits of another the variant; a third of what `uuid4` takes.
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


def utc_now() -> datetime:
    """Return the present time, aware, in UTC, to the microsecond.

    >>> class User(Row):
    ...     id: str
    ...     created_at: datetime = Field(default_factory=utc_now)
    >>> User(id="ann").created_at.tzinfo
    datetime.timezone.utc
    """
    return datetime.now(UTC)


def numbered() -> int:
    """Return the default of a primary key that the table numbers: 1, 2, 3, …; a number is never given out twice.

    The number is given at the insert; until then the field is None, whatever its type says. `id: int | None = None`
    says the same to the table, and the whole truth to a type checker.

    >>> from snaptable import Database, Table
    >>> class Note(Row):
    ...     id: int = numbered()
    ...     text: str
    >>> class Notes(Database):
    ...     notes: Table[Note]
    >>> with Notes("memory:") as db:
    ...     db.notes.insert(Note(text="milk"))
    Note(id=1, text='milk')
    """
    return cast("int", Field(default_factory=not_numbered))


def not_numbered() -> None:
    """Return what a numbered key is before its row is inserted. A field with this default is one of `numbered()`."""


@dataclass(frozen=True)
class PrimaryKey:
    """Mark of the field that is the primary key, if it is not called `id`: a str, an int or a UUID.

    >>> from typing import Annotated
    >>> class Country(Row):
    ...     code: Annotated[str, PrimaryKey()]
    """


class Unique:
    """Mark of a value that each row has for itself: on a field, or over several in `table(Unique("a", "b"))`.

    None clashes with nothing, as in SQL. A violation raises UniqueViolation at the commit. Getting a row by a unique
    value is O(1).

    >>> from typing import Annotated
    >>> class User(Row):
    ...     id: str
    ...     email: Annotated[str, Unique()]
    """

    def __init__(self, *names: str) -> None:
        """Name the fields in `table(…)`; none on a field."""
        self.names = names


class Index:
    """Mark of a field that queries ask for: answering them costs O(log n) or less, plus the rows given.

    `Index()` is for equality, `Index(ordered=True)` for ranges and sorting too, `Index(each=True)` for the items of a
    list, set or tuple (`contains`). Over several fields it stands in `table(Index("a", "b", ordered=True))`. An index
    costs memory, and O(log n) or less at each write.

    >>> from typing import Annotated
    >>> class Document(Row):
    ...     id: str
    ...     pages: Annotated[int, Index(ordered=True)]
    ...     tags: Annotated[tuple[str, ...], Index(each=True)] = ()
    """

    def __init__(self, *names: str, ordered: bool = False, each: bool = False) -> None:
        """Name the fields in `table(…)`; none on a field.

        Raises:
            SchemaError: both `ordered` and `each`.
        """
        if ordered and each:
            raise SchemaError("an index is either ordered or has an entry for each item, not both")
        self.names = names
        self.ordered = ordered
        self.each = each


class ForeignKey:
    """Mark of a field that holds the primary key of a row of another table, or None; it has an index by itself.

    A key that no row has raises ForeignKeyViolation at the commit. Deleting a row costs O(rows that refer to it).

    >>> from typing import Annotated
    >>> class User(Row):
    ...     id: str
    >>> class Document(Row):
    ...     id: str
    ...     user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    ...     parent_id: Annotated[str | None, ForeignKey("documents", on_delete="set null")] = None
    """

    def __init__(self, target: "type[BaseModel] | str", on_delete: OnDelete = "restrict") -> None:
        """Name the other table.

        Args:
            target: the model, or the table's name as text (for a table declared later, the same table, or a model that
                two tables hold).
            on_delete: what happens to this row when the other is deleted: "restrict" refuses that at the commit,
                "cascade" deletes this row too, "set null" makes the field None.

        Raises:
            SchemaError: another `on_delete`.
        """
        if on_delete not in get_args(OnDelete):
            raise SchemaError(f"on_delete is one of {', '.join(get_args(OnDelete))}; not {on_delete!r}")
        self.target = target
        self.on_delete = on_delete


Marker = Unique | Index | ForeignKey | PrimaryKey | OnUpdate | Secret
