"""The control socket: how the command changes a store that a server has open.

The process that holds the lock listens on `db.socket` in the store's directory, a Unix socket of mode 0600. Whoever may
open it may write, as whoever may write to the directory can anyway. Servers open it: `snaptable serve`,
`snaptable.web.serve(app)`, or by hand:

    with Library("data") as db, db_socket(db):
        run_my_server(db)

    shapes      changes and commits as JSON
    operations  what can be asked for, and how it is carried out: by a server, or by the command itself
    protocol    one line of JSON there, one back, bounded
    addresses   where the socket is, and whose it may be
    server      the side that has the store open
    client      the side that asks
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snaptable.control.server import ControlSocket, db_socket

__all__ = ["ControlSocket", "db_socket"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the server's side when it is asked for: the other needs no database."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from snaptable.control import server

        return getattr(server, name)
