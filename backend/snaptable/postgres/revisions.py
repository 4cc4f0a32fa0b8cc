"""Revisions: what a cache outside of the database goes by, raised in the commit that makes its answers old.

With `PostgresOptions(revisions="user_id")` every commit that changes rows gives each value that the field has in them,
before or after, a new token, in the same transaction. All tokens of a value together name what is committed of its
rows: whoever reads them with the rows, as of one state, knows that the rows are the same as long as the tokens are.
Tokens are drawn, not counted: a server that lost its last commits, or was restored from a backup, names no state again.

A value has up to `STRIPES` tokens, and each connection renews one of its own: writers of one user's rows don't wait for
each other. Once the table is there every program that opens the database renews tokens, whether it has a cache or not;
people who write by psql don't.
"""

from collections.abc import Mapping

from snaptable.errors import OpenError
from snaptable.postgres.commits import Net
from snaptable.postgres.layout.names import REVISIONS
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Fetch, Session
from snaptable.postgres.transaction import Transaction

STRIPES = 16
_FIELD, _EVERYTHING = -1, -2
"""Stripes of the row that names the field, with a secret in the token's place, and of the token of all values."""
_MAKE = f"""
    create table if not exists {REVISIONS} (value text not null, stripe int8 not null, token uuid not null
    default gen_random_uuid(), primary key (value, stripe));
    insert into {REVISIONS} (value, stripe) values ('', {_EVERYTHING}) on conflict do nothing;
"""
_NAME_FIELD = f"""
    insert into {REVISIONS} (value, stripe) select %(field)s::text, {_FIELD}
    where not exists (select from {REVISIONS} where stripe = {_FIELD})
"""
_FIND = f"select value, token::text from {REVISIONS} where stripe = {_FIELD}"
_RENEW = f"""
    insert into {REVISIONS} as old (value, stripe) select each, pg_backend_pid() %% {STRIPES}
    from unnest(%(values)s::text[]) each on conflict (value, stripe) do update set token = gen_random_uuid()
"""
_RENEW_ALL = f"update {REVISIONS} set token = gen_random_uuid() where value = '' and stripe = {_EVERYTHING}"
_READ = f"""
    select token::text from {REVISIONS}
    where value = any(array['', %(value)s::text]) and (stripe = {_EVERYTHING} or (stripe >= 0 and value = %(value)s))
    order by value, stripe
"""


class Revisions:
    """The tokens of a database.

    Attributes:
        field: the field whose values have tokens.
        secret: known to who may read the database, and the same as long as there is the table.
    """

    def __init__(self, field: str, secret: str, rows: Mapping[str, TableRows]) -> None:
        self.field, self.secret = field, secret
        self._tables = frozenset(
            name for name, each in rows.items() if field in each.schema.columns and not each.schema.transient
        )

    @staticmethod
    def make(session: Session, field: str) -> None:
        """Make the table in the open transaction, if there is none.

        Raises:
            Error: psycopg's.
        """
        session.execute(_MAKE.encode())
        session.ask(_NAME_FIELD, {"field": field})

    @classmethod
    def of(cls, session: Session, rows: Mapping[str, TableRows]) -> "Revisions":
        """Return those of a database that has the table.

        Raises:
            OpenError: nothing says of which field they are.
            Error: psycopg's.
        """
        records = session.ask(_FIND)
        if len(records) != 1:
            raise OpenError(f"the table {REVISIONS} doesn't say of which field it is: drop it, and it is made anew")
        ((field, secret),) = records
        return cls(field, secret, rows)

    @staticmethod
    def renew_all(session: Session) -> None:
        """Give every value a new token: rows were changed by other means than a transaction of the engine."""
        session.tell(_RENEW_ALL)

    def renew(self, transaction: Transaction, net: Net) -> None:
        """Give the values whose rows a transaction changed new tokens, before it commits; one statement.

        Raises:
            Error: psycopg's.
        """
        values = {
            str(getattr(row, self.field))
            for (table, _), change in net
            if table in self._tables
            for row in (change.before, change.after)
            if row is not None
        }
        if values:
            # In one order always: two transactions that renew several don't wait for each other crosswise.
            transaction.session.ask(_RENEW, {"values": sorted(values)})

    def read(self, fetch: Fetch, value: str) -> str:
        """Return what names the state of a value's rows, as the caller's transaction sees it: up to 650 characters."""
        return ",".join(token for (token,) in fetch(_READ, {"value": value}))
