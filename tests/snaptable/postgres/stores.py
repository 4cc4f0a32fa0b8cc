"""Empty places on the tests' PostgreSQL server, made in a millisecond: a schema, and a user who sees it first."""

import atexit
import os
from collections.abc import Iterable
from functools import cache
from itertools import count
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from tests.snaptable.postgres.shared import server_url

_numbers = count(1)


@cache
def _connection(pid: int) -> psycopg.Connection:
    connection = psycopg.connect(server_url(), autocommit=True, options="-c lock_timeout=20s")
    atexit.register(connection.close)
    return connection


def administer(statement: str) -> list[tuple[object, ...]]:
    """Run a statement as the superuser, in a transaction of its own; return the rows, if it gives any."""
    cursor = _connection(os.getpid()).execute(statement.encode())
    return cursor.fetchall() if cursor.description is not None else []


def new_schema() -> str:
    """Return the URL of an empty schema: that of a user of the same name, whose tables go there by `search_path`."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    administer(f"create role {name} login superuser password '{name}'; create schema {name} authorization {name}")
    return url_as(name)


def url_as(user: str) -> str:
    """Return the server's URL as another user."""
    parts = urlsplit(server_url())
    place = parts.netloc.rpartition("@")[2]
    query = {name: value for name, value in parse_qsl(parts.query) if name not in ("user", "password")}
    return urlunsplit(parts._replace(netloc=f"{user}:{user}@{place}", query=urlencode(query, quote_via=quote, safe="")))


def schema_of(url: str) -> str:
    """Return the schema of a URL that `new_schema` gave."""
    return str(urlsplit(url).username)


def drop_schemas(urls: Iterable[str]) -> None:
    """Remove schemas and their users, and cut whoever is still connected as one of them."""
    names = [schema_of(url) for url in urls]
    if names:
        listed = ", ".join(f"'{name}'" for name in names)
        administer(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename in ({listed})")
    for name in names:
        administer(f"drop schema if exists {name} cascade; drop owned by {name} cascade; drop role {name}")


def empty_schema(url: str) -> None:
    """Delete every row of a schema, and let its numbers begin anew: cheaper than making the tables again."""
    name = schema_of(url)
    own = "('snaptable_state', 'snaptable_source')"
    names = administer(f"select tablename from pg_tables where schemaname = '{name}' and tablename not in {own} ")
    numbers = administer(f"select sequencename from pg_sequences where schemaname = '{name}'")
    statements = [f'delete from {name}."{each}"' for (each,) in names]
    statements += [f"select setval('{name}.\"{each}\"', 1, false)" for (each,) in numbers]
    statements.append(f"update {name}.snaptable_state set first = 0, purged = 0, erased = '{{}}'")
    administer("; ".join(statements))


def waiting(url: str) -> int:
    """Return how many connections to a schema wait for a lock."""
    waits = f"usename = '{schema_of(url)}' and wait_event_type = 'Lock'"
    return len(administer(f"select from pg_stat_activity where {waits}"))


def content(url: str) -> dict[str, list[str]]:
    """Return every row of every table of a schema as text: what may not change where nothing was written."""
    name = schema_of(url)
    tables = [str(row[0]) for row in administer(f"select tablename from pg_tables where schemaname = '{name}'")]
    return {
        table: sorted(str(row[0]) for row in administer(f'select row(each.*)::text from {name}."{table}" each'))
        for table in sorted(tables)
    }
