"""What users store, summed up: a record a user, changed in the very transaction that changes the rows."""

from app.shared.tables import SharedTables
from app.usage import Usage

_GET = """
    select documents, marks, document_bytes, row_bytes,
    (select count(*) from documents where user_id = %(user)s),
    (select count(*) from extractions where user_id = %(user)s)
    + (select count(*) from annotations where user_id = %(user)s)
    from backend_usages where user_id = %(user)s
"""
_KEEP = """
    insert into backend_usages (user_id, documents, marks, document_bytes, row_bytes)
    values (%(user)s, %(documents)s, %(marks)s, %(document_bytes)s, %(row_bytes)s)
    on conflict (user_id) do update set documents = excluded.documents, marks = excluded.marks,
    document_bytes = excluded.document_bytes, row_bytes = excluded.row_bytes
"""


class SharedUsages:
    """The sums of all users."""

    def __init__(self, tables: SharedTables) -> None:
        """Take where they are."""
        self._tables = tables

    def get(self, user_id: str) -> Usage | None:
        """Return the sums of a user as the open transaction sees them, with how many rows there are; one statement.

        None if they are not known.
        """
        records = self._tables.ask(_GET, {"user": user_id})
        if not records:
            return None
        documents, marks, document_bytes, row_bytes, *numbers = map(int, records[0])
        return Usage(documents, marks, document_bytes, row_bytes, numbers=lambda: (numbers[0], numbers[1]))

    def keep(self, user_id: str, usage: Usage) -> None:
        """Put down what a user stores, in the open transaction."""
        sums = {name: getattr(usage, name) for name in ("documents", "marks", "document_bytes", "row_bytes")}
        self._tables.ask(_KEEP, {"user": user_id, **sums})

    def forget(self, user_id: str) -> None:
        """Forget the sums of a user: they are made anew when they are asked for."""
        self._tables.ask("delete from backend_usages where user_id = %(user)s", {"user": user_id})
