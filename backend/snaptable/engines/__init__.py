"""Which engine a URL names, and how it is put together; `observers` is the seam for test tools.

An engine is imported when a database is first opened: half of what importing this package would cost.
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, get_args
from urllib.parse import unquote

from snaptable.contract import Engine, SnapshotPolicy
from snaptable.engines.observers import OpenObserver, engine_of, observe_opens
from snaptable.engines.options import EngineOptions, Filesystem, import_name
from snaptable.errors import OpenError, ReadOnlyStore, SnaptableError

if TYPE_CHECKING:
    from snaptable.storage.legacy import LegacySnapshot

__all__ = [
    "EngineOptions",
    "Filesystem",
    "OpenObserver",
    "check_arguments",
    "engine_of",
    "import_name",
    "is_postgres",
    "observe_opens",
    "open_engine",
    "shown_url",
    "url_of",
]

MEMORY = "memory:"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")
"""Of a URL; a single letter is a drive."""
_POSTGRES = ("postgresql", "postgres")
_LIKE_MEMORY = (":memory:", "memory", ":memory", "memory:", "memory:/", "memory://", "memory:///")


def check_arguments(url: str | os.PathLike[str], snapshot: SnapshotPolicy, writer_timeout: float) -> None:
    """Check what a database is made with.

    Raises:
        OpenError: the URL is one of another library's, and would become a directory of that name here; says what to
            write, and never repeats the URL, which may hold a password.
        ValueError: `snapshot` is none of the policies, or `writer_timeout` is not a number of seconds above 0.
    """
    if not 0 < writer_timeout < float("inf"):
        raise ValueError(f"writer_timeout is a number of seconds above 0; not {writer_timeout!r}")
    if snapshot not in get_args(SnapshotPolicy):
        raise ValueError(f"snapshot is one of {', '.join(get_args(SnapshotPolicy))}; not {snapshot!r}")
    _check_url(url)


def url_of(url: str | os.PathLike[str]) -> str:
    """Return a URL or a path as text; a Path is a directory, also one of the name "memory:"."""
    text = os.fspath(url)
    return f"./{text}" if text == MEMORY and not isinstance(url, str) else text


def is_postgres(url: str) -> bool:
    """Return whether a URL names a database on PostgreSQL."""
    scheme = _SCHEME.match(url)
    return scheme is not None and scheme[1] in _POSTGRES and scheme[2] is not None


def shown_url(url: str) -> str:
    """Return a URL without its password."""
    if not is_postgres(url):
        return url
    scheme, _, rest = url.partition("://")
    place, mark, query = rest.partition("?")
    if "@" in query and "@" not in place:  # a password with a mark that should have been escaped
        place, mark, query = rest, "", ""
    login, at, hosts = place.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{scheme}://{user}{f'{colon}••••' if colon else ''}{at}{hosts}"
    return f"{shown}{mark}{'&'.join(map(_shown_parameter, query.split('&')))}"


def _shown_parameter(text: str) -> str:
    name, mark, _ = text.partition("=")
    return f"{name}{mark}••••" if unquote(name).lower().endswith("password") else text


def _check_url(url: str | os.PathLike[str]) -> None:
    if not isinstance(os.fspath(url), str):
        raise OpenError("the directory's path is a str or a pathlib.Path, not bytes")
    if not isinstance(url, str):
        return  # a Path says that it is one
    if not url.strip():
        raise OpenError('the URL is empty; name a directory, as in "data", or write "memory:"')
    if url != MEMORY and url.strip().lower() in _LIKE_MEMORY:
        raise OpenError(
            f'write "memory:" for a database that keeps nothing, not {url!r}; a directory of that name is Path({url!r})'
        )
    scheme = _SCHEME.match(url)
    if scheme is None or url == MEMORY:
        return
    if is_postgres(url):
        return
    if scheme[1].lower().partition("+")[0] in _POSTGRES:
        raise OpenError('a database on PostgreSQL is named by "postgresql://…", without a driver')
    named = f"{scheme[1]}:{scheme[2] or ''}"
    raise OpenError(
        f'there is no engine for {named}; name a directory, as in "data", or write "memory:"; a directory whose name '
        'has a colon in it is a Path(…), or begins with "./"'
    )


class _Conversion:
    """The application's conversion of a legacy snapshot; `error` is what it raised."""

    def __init__(self, convert: "Callable[[LegacySnapshot], None]") -> None:
        self._convert = convert
        self.error: Exception | None = None

    def __call__(self, old: "LegacySnapshot") -> None:
        """Convert."""
        try:
            self._convert(old)
        except Exception as error:
            self.error = error
            raise


def open_engine(options: EngineOptions) -> Engine:
    """Open the engine that a database's URL names.

    Raises:
        OpenError: it can't be opened; the subclasses say why. Nothing else is raised, whatever files and models hold,
            but for what the application's own `import_legacy` raises.
    """
    if options.url == MEMORY:
        from snaptable.engines.volatile import VolatileEngine
        from snaptable.memory.engine import MemoryEngine

        refusal = ReadOnlyStore("the database was opened with read_only=True") if options.read_only else None
        return VolatileEngine(MemoryEngine(options.schemas, options.writer_timeout), refusal, options.retention)
    if is_postgres(options.url):
        return _open_postgres(options)
    from snaptable.engines.durable import DurableEngine

    conversion = _Conversion(options.import_legacy)
    try:
        return DurableEngine.open(replace(options, import_legacy=conversion))
    except OpenError:
        raise
    except Exception as error:
        if error is conversion.error:
            raise  # the application's own, in a step that it wrote for this file
        # Only the type of what the application's own code raised: its message may repeat a value.
        reason = str(error) if isinstance(error, SnaptableError) else type(error).__name__
        raise OpenError(f"{options.url!r} can't be opened: {reason}") from error


def _open_postgres(options: EngineOptions) -> Engine:
    try:
        import psycopg  # noqa: F401 - only to say what is missing
        import psycopg_pool  # noqa: F401
    except ImportError as error:
        raise OpenError(
            f"PostgreSQL needs a driver that isn't installed ({error.name}): pip install 'snaptable[postgres]'"
        ) from None
    from snaptable.engines.postgresql import PostgresEngine

    return PostgresEngine.open(options)
