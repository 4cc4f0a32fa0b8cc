"""Who is in the admin page, for all processes: a session that one began, another knows, and one that ended has ended.

The table has the digest of a cookie; the token that pages bring with each change is made of the cookie itself.
"""

import secrets

from app.shared.tables import SharedTables
from snaptable.admin.access import IDLE_SECONDS, SESSION_SECONDS, Admin, Session, digest_of, token_of

_TIMES = {"longest": SESSION_SECONDS, "idle": IDLE_SECONDS}
_BEGIN = """
    insert into backend_admin_sessions (digest, name, began, used) values (%(digest)s, %(name)s, now(), now())
"""
_OF = """
    select name, used < now() - interval '1 minute' from backend_admin_sessions where digest = %(digest)s
    and began > now() - %(longest)s * interval '1 second' and used > now() - %(idle)s * interval '1 second'
"""
_USE = "update backend_admin_sessions set used = now() where digest = %(digest)s"
_END = "delete from backend_admin_sessions where digest = %(digest)s"
_END_ALL = "delete from backend_admin_sessions where name = %(name)s"
_CLEAR = """
    delete from backend_admin_sessions
    where began <= now() - %(longest)s * interval '1 second' or used <= now() - %(idle)s * interval '1 second'
"""


class SharedAdminSessions:
    """The sessions of all processes."""

    def __init__(self, tables: SharedTables) -> None:
        """Take where they are."""
        self._tables = tables

    def begin(self, admin: Admin) -> str:
        """Begin a session, and return its cookie."""
        cookie = secrets.token_urlsafe(32)
        self._tables.ask(_CLEAR, _TIMES)
        self._tables.ask(_BEGIN, {"digest": digest_of(cookie), "name": admin.name})
        return cookie

    def of(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie, which is used now; None if it is over. Uses are noted once a minute."""
        if not cookie:
            return None
        digest = digest_of(cookie)
        records = self._tables.ask(_OF, {"digest": digest, **_TIMES})
        if not records:
            return None
        name, is_old = records[0]
        if is_old:
            self._tables.ask(_USE, {"digest": digest})
        return Session(Admin(str(name)), token_of(cookie))

    def end(self, cookie: str | None) -> None:
        """End a session, if there is one."""
        if cookie:
            self._tables.ask(_END, {"digest": digest_of(cookie)})

    def end_all(self, name: str) -> None:
        """End every session of the admin of a name."""
        self._tables.ask(_END_ALL, {"name": name})
