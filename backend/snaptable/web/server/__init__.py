"""A server for any ASGI application that strangers can reach.

    serve(app, host="0.0.0.0", port=8000)                              # until SIGTERM
    serve(app, limits=ServerLimits(body_seconds=60), trusted_proxies=["10.0.0.2"])
    uvicorn.run("notes:app", **server_settings())                      # or with a uvicorn of one's own

Uvicorn by itself bounds neither the head of a request, nor the time that a client takes for one, nor the number of
connections. `ServerLimits` has each limit with its unit and default.
"""

from snaptable.web.server.limits import ServerLimits
from snaptable.web.server.protocol import GuardedProtocol
from snaptable.web.server.running import GuardedServer, ServerSettings, bind, serve, server_settings

__all__ = ["GuardedProtocol", "GuardedServer", "ServerLimits", "ServerSettings", "bind", "serve", "server_settings"]
