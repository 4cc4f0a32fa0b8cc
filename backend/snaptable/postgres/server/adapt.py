"""How psycopg writes and reads values here: whole numbers in one size, JSON as the bytes it is, times in UTC."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg import adapters as usual_adapters
from psycopg.adapt import Buffer, Dumper, Loader, Transformer
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.types.string import ByteaBinaryLoader

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.adapt import AdaptersMap

Record = tuple[Any, ...]
"""What a statement gave for a row: values whose types the statement decides."""
JSON_OID = 114
TIMESTAMPTZ_OID = 1184
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From where PostgreSQL counts microseconds."""


_Moments: Any = usual_adapters.get_loader(TIMESTAMPTZ_OID, Format.BINARY)


class _OutOfRange:
    """A moment in a year that Python has not, in UTC: `_exact` holds it as it was written."""

    def __repr__(self) -> str:
        return "OUT_OF_RANGE"


OUT_OF_RANGE: Final = _OutOfRange()


class RawJson(bytes):
    """JSON for a column, sent as it is."""


class _JsonBinaryDumper(Dumper):
    format = Format.BINARY
    oid = JSON_OID

    def dump(self, obj: RawJson) -> Buffer:
        """Return the bytes."""
        return obj


class _JsonTextDumper(_JsonBinaryDumper):
    format = Format.TEXT


class _JsonBinaryLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        """Return the bytes."""
        return bytes(data)


class _JsonTextLoader(_JsonBinaryLoader):
    format = Format.TEXT


class _MomentLoader(Loader):
    """timestamptz as a datetime in UTC, whatever the session's zone, and whatever the year."""

    format = Format.BINARY

    def load(self, data: Buffer) -> "datetime | _OutOfRange":
        """Return the moment."""
        try:
            return _EPOCH + timedelta(microseconds=int.from_bytes(data, "big", signed=True))
        except OverflowError:
            return OUT_OF_RANGE


class _QuickMoments:
    """psycopg's own loader of the same: three times as quick, but it raises DataError for a year Python has not.

    It is told of no connection, whose zone it would take. (It can't be subclassed.)
    """

    format = Format.BINARY

    def __call__(self, oid: int, _: object = None) -> Any:
        """Return a loader."""
        return _Moments(oid, None)


def register_quick(adapters: "AdaptersMap") -> None:
    """Adapt a cursor on top of that: quicker, but raising psycopg's DataError for a moment that Python has no year for.

    `reread` then gives what the cursor could not.
    """
    quick: Any = _QuickMoments()
    adapters.register_loader("timestamptz", quick)
    adapters.register_loader(JSON_OID, ByteaBinaryLoader)


def reread(cursor: "Cursor[Record]") -> list[Record]:
    """Return the records of a cursor's result, with `OUT_OF_RANGE` for moments that Python has no year for."""
    result = cursor.pgresult
    assert result is not None
    transformer = Transformer(cursor.connection)
    transformer.set_pgresult(result, format=Format.BINARY)
    return list(transformer.load_rows(0, result.ntuples, tuple))


def register(adapters: "AdaptersMap") -> None:
    """Adapt a connection.

    Whole numbers are sent as int8: psycopg would choose among three sizes, and a query be prepared once for each.
    """
    adapters.register_dumper(int, Int8Dumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(RawJson, _JsonTextDumper)
    adapters.register_dumper(RawJson, _JsonBinaryDumper)
    adapters.register_loader(JSON_OID, _JsonTextLoader)
    adapters.register_loader(JSON_OID, _JsonBinaryLoader)
    adapters.register_loader("timestamptz", _MomentLoader)
