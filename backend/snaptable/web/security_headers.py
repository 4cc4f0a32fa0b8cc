"""Headers that tell a browser to keep nothing, to guess nothing, and to show no page in another's frame."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOSNIFF = (b"x-content-type-options", b"nosniff")
NO_STORE = (b"cache-control", b"no-store")
HSTS = (b"strict-transport-security", b"max-age=31536000")
"""A year: browsers that came by HTTPS once come by nothing else. Subdomains are for their owner to say."""
NO_FRAMES = ((b"content-security-policy", b"frame-ancestors 'none'"), (b"x-frame-options", b"DENY"))


class SecurityHeaders:
    """ASGI middleware: `nosniff` on every answer, `no-store` on JSON, no framing of pages; what is set already stays.

    Over HTTPS, the server's own or that of a proxy that it trusts, it also tells browsers to come by HTTPS for a year.

    `app.add_middleware(SecurityHeaders)`; what answers a 500 lies outside of that, unless the application wraps its
    whole stack. It costs about a microsecond an answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to the head of the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            """Send a part of the answer."""
            if message["type"] == "http.response.start":
                complete_headers(message, is_secure=scope.get("scheme") == "https")
            await send(message)

        await self.app(scope, receive, send_with_headers)


def complete_headers(message: Message, *, is_secure: bool) -> None:
    """Add the headers that the head of an answer lacks."""
    headers = list(message["headers"])
    present = dict(headers)
    content_type = present.get(b"content-type", b"application/json")
    if b"x-content-type-options" not in present:
        headers.append(NOSNIFF)
    if is_secure and HSTS[0] not in present:
        headers.append(HSTS)
    if content_type.endswith(b"json"):
        if b"cache-control" not in present:
            headers.append(NO_STORE)
    elif content_type.startswith(b"text/html"):
        headers += [header for header in NO_FRAMES if header[0] not in present]
    message["headers"] = headers
