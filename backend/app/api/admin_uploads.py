"""Files that admins sent to be imported, for all processes: one takes the file, another may be asked to import it."""

import secrets
import time

from app.shared.tables import Ask, SharedTables
from snaptable.admin.uploads import MOST, MOST_BYTES, SECONDS, SentUpload, Upload
from snaptable.interchange import ParsedFile, read_bytes

_KEEP = """
    insert into backend_uploads (token, owner, name, form, data, at)
    values (%(token)s, %(owner)s, %(name)s, %(form)s::text, %(data)s, now())
"""
_CLEAR = """
    delete from backend_uploads where at < now() - %(seconds)s * interval '1 second' or token in (
    select token from (select token, row_number() over newest as place, sum(length(data)) over newest as total
    from backend_uploads window newest as (order by at desc, token)) as kept
    where place > %(most)s or (place > 1 and total > %(bytes)s))
"""
_OF = """
    select name, form, data from backend_uploads
    where token = %(token)s and owner = %(owner)s and at > now() - %(seconds)s * interval '1 second'
"""


class SharedUploads:
    """The files that wait; the oldest go when there are too many, or too large ones."""

    def __init__(self, tables: SharedTables) -> None:
        """Take where they are."""
        self._tables = tables

    def keep(self, parsed: ParsedFile, sent: SentUpload, owner: str) -> str:  # noqa: ARG002  # it is read again
        """Keep a file, and return its token."""
        token = secrets.token_urlsafe(12)

        def work(ask: Ask) -> None:
            ask(_KEEP, {"token": token, "owner": owner, **sent._replace(name=sent.name.replace("\0", ""))._asdict()})
            ask(_CLEAR, {"seconds": SECONDS, "most": MOST, "bytes": MOST_BYTES})

        self._tables.aside(work)
        return token

    def of(self, token: str, owner: str) -> Upload | None:
        """Return a file that this admin sent; None if it is gone. O(its bytes): it is read anew."""
        if "\0" in token:  # which no text of PostgreSQL has
            return None
        records = self._tables.ask(_OF, {"token": token, "owner": owner, "seconds": SECONDS})
        if not records:
            return None
        name, form, data = records[0]
        return Upload(read_bytes(bytes(data), str(name), form), len(data), owner, time.monotonic())

    def drop(self, token: str) -> None:
        """Forget a file."""
        self._tables.ask("delete from backend_uploads where token = %(token)s", {"token": token})
