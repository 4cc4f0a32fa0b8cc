"""Which of several processes does what one alone does: who holds the lease, for as long as it is renewed.

A lease, and no lock of a session: it holds through a pooler that gives each transaction another connection. A process
that is stopped gives it back; of one that is killed it ends within seconds.
"""

import secrets

from app.shared.tables import SharedTables

SECONDS = 10.0
"""How long a lease lasts that is not renewed."""
_TAKE = f"""
    insert into backend_leases as known (name, holder, ends)
    values (%(name)s, %(holder)s, now() + interval '{SECONDS} seconds') on conflict (name) do update set
    holder = excluded.holder, ends = excluded.ends where known.holder = excluded.holder or known.ends < now()
    returning holder
"""


class Lease:
    """One process's claim to a task."""

    def __init__(self, tables: SharedTables, name: str) -> None:
        """Take the name of the task."""
        self._tables = tables
        self._given = {"name": name, "holder": secrets.token_hex(8)}

    def take(self) -> bool:
        """Take the lease, or renew it; return whether this process has it now."""
        return bool(self._tables.ask(_TAKE, self._given))

    def give_back(self) -> None:
        """Let another process have it."""
        self._tables.ask("delete from backend_leases where name = %(name)s and holder = %(holder)s", self._given)
