"""What hostile clients do, each kind at a rate of its own, until their process is ended."""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable

from tests.app.support import make_pdf

HOST = "127.0.0.1"
PASSWORD = "correct horse battery"
WAIT = 15.0
"""Seconds after which an attack stops to wait for an answer and begins anew."""

Attack = Callable[["Stranger"], Awaitable[None]]
ATTACKS: list[tuple[Attack, int, float]] = []
"""What to do, how many at once, and seconds between two tries of each."""


def attack(times: int, pause: float) -> Callable[[Attack], Attack]:
    """Register a kind of attack."""

    def register(function: Attack) -> Attack:
        ATTACKS.append((function, times, pause))
        return function

    return register


class Stranger:
    """A client that keeps to no rule; it has an account."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = ""
        self.document = ""
        self.random = random.Random(7)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection that reads little by itself."""
        return await asyncio.open_connection(HOST, self.port, limit=4096)

    async def send(self, *pieces: bytes, pause: float = 0.0, wait: float = WAIT) -> bytes:
        """Send pieces with a pause after each, and return the begin of the answer; what is refused ends in silence."""
        writer = None
        try:
            async with asyncio.timeout(wait):
                reader, writer = await self.connect()
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause)
                return await reader.read()
        except (OSError, TimeoutError):
            return b""
        finally:
            if writer is not None:
                writer.transport.abort()

    def head(self, line: str, length: int, media_type: str = "application/json") -> bytes:
        """Return a request's head, with the token."""
        return (
            f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\nConnection: close\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()

    async def post(self, path: str, body: bytes, media_type: str = "application/json") -> bytes:
        """Send a whole POST."""
        return await self.send(self.head(f"POST {path}", len(body), media_type), body)

    async def upload(self, pdf: bytes) -> bytes:
        """Upload a file."""
        begin = b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.pdf"\r\n'
        body = begin + b"Content-Type: application/pdf\r\n\r\n" + pdf + b"\r\n--x--\r\n"
        return await self.post("/api/documents", body, "multipart/form-data; boundary=x")

    async def settle(self) -> None:
        """Get an account, a document and a list of large rows."""
        account = {"email": "stranger@example.org", "password": PASSWORD}
        await self.post("/api/auth/register", json.dumps(account).encode())
        form = b"username=stranger%40example.org&password=" + PASSWORD.replace(" ", "+").encode()
        answer = await self.post("/api/auth/login", form, "application/x-www-form-urlencoded")
        self.token = json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"]
        self.document = json.loads((await self.upload(make_pdf(3))).partition(b"\r\n\r\n")[2])["id"]
        row = {"document_id": self.document, "page_num": 1, "type": "note", "coordinates": {}, "color": "#ffffff"}
        body = json.dumps(row | {"content": "x" * 9_000}).encode()
        for _ in range(200):
            await self.post("/api/annotations", body)


@attack(150, 0.5)
async def half_open(stranger: Stranger) -> None:
    """Send nothing, or half a head."""
    await stranger.send(stranger.random.choice([b"", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\n"]), wait=60)


@attack(20, 0.5)
async def slow_head(stranger: Stranger) -> None:
    """Send a header line a second."""
    await stranger.send(b"GET / HTTP/1.1\r\nHost: x\r\n", *[b"a: b\r\n"] * 60, pause=1, wait=60)


@attack(1, 1)
async def endless_head(stranger: Stranger) -> None:
    """Send 20 MiB of header lines, of one value, of trailers."""
    begin = b"POST / HTTP/1.1\r\nHost: x\r\n"
    kinds = [
        (begin, b"a: bbbbbbbbbbbbbbbb\r\n"),
        (begin + b"a: ", b"x" * 20),
        (b"GET /?", b"x" * 20),
        (begin + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: bbbbbbbbbbbbbbbb\r\n"),
    ]
    first, piece = stranger.random.choice(kinds)
    await stranger.send(first, *[piece * 3_000] * 350)


@attack(1, 1)
async def hostile_json(stranger: Stranger) -> None:
    """Send bodies that are costly to refuse: depth, duplicate keys, unknown keys, no end."""
    kinds = [
        b'"[]"' * 65 + b'\\"' * 40_000,
        b"[" * 100_000,
        b"{" + b",".join(b'"%d":1' % (n % 9_000) for n in range(20_000)) + b"}",
        b"{" + b",".join(b'"%d":1' % n for n in range(20_000)) + b"}",
        b'{"email":"' + b"\\" * 200_000,
        b'{"email": ' + b"9" * 200_000 + b"}",
        b'"' * 200_000,
    ]
    path = stranger.random.choice(["/api/auth/register", "/api/annotations", "/api/extractions"])
    await stranger.post(path, stranger.random.choice(kinds))


@attack(1, 1)
async def hostile_charset(stranger: Stranger) -> None:
    """Send a form whose charset takes time in proportion to the square of its length."""
    charset = stranger.random.choice(["punycode", "idna", "utf-7", "zlib"])
    body = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n' + b"a-" * 50_000 + b"\r\n--x--\r\n"
    await stranger.post("/api/auth/login", body, f"multipart/form-data; boundary=x; charset={charset}")


@attack(10, 1)
async def unread_page(stranger: Stranger) -> None:
    """Ask for the largest page, and read nothing of it."""
    writer = None
    with contextlib.suppress(OSError):
        _, writer = await stranger.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transports have it
        writer.write(stranger.head("GET /api/annotations?limit=200", 0))
        await asyncio.sleep(45)
    if writer is not None:
        writer.transport.abort()


@attack(20, 1)
async def stalled_body(stranger: Stranger) -> None:
    """Send most of a body, then a byte a second."""
    path = stranger.random.choice(["/api/annotations", "/api/documents"])
    media_type = "application/json" if path.endswith("annotations") else "multipart/form-data; boundary=x"
    head = stranger.head(f"POST {path}", 200_000, media_type)
    await stranger.send(head, b"--x\r\n" + b" " * 100_000, *[b" "] * 60, pause=1, wait=60)


@attack(2, 1)
async def broken_off(stranger: Stranger) -> None:
    """Go away in the middle of an upload."""
    await stranger.send(
        stranger.head("POST /api/documents", 900_000, "multipart/form-data; boundary=x"), b"x" * 5_000, wait=0.1
    )


@attack(2, 0.5)
async def guesses(stranger: Stranger) -> None:
    """Guess passwords of accounts that are there and of others."""
    name = stranger.random.choice(["ann%40example.org", f"{stranger.random.random()}%40example.org"])
    form = f"username={name}&password={stranger.random.random()}".encode()
    await stranger.post("/api/auth/login", form, "application/x-www-form-urlencoded")


@attack(1, 5)
async def registrations(stranger: Stranger) -> None:
    """Register accounts without end."""
    account = {"email": f"{stranger.random.random()}@example.org", "password": PASSWORD}
    await stranger.post("/api/auth/register", json.dumps(account).encode())


@attack(2, 5)
async def pdf_bombs(stranger: Stranger) -> None:
    """Upload files that take long to read."""
    kids = b" ".join(b"3 0 R" for _ in range(20_000))
    tree = (
        b"1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids ["
        + kids
        + b"] >>\nendobj\n"
    )
    kinds = [b"%PDF-1.4\n" + b"startxref\n9\n" * 50_000, b"%PDF-1.4\n" + tree + b"trailer\n<< /Root 1 0 R >>\n"]
    await stranger.upload(stranger.random.choice(kinds))


@attack(1, 2)
async def pipelines(stranger: Stranger) -> None:
    """Send hundreds of requests at once, and go."""
    await stranger.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 300, wait=1)


@attack(2, 0.5)
async def nonsense(stranger: Stranger) -> None:
    """Send what is no HTTP/1.1: TLS, an upgrade, no Host, two lengths."""
    kinds = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ]
    await stranger.send(stranger.random.choice(kinds), wait=2)


@attack(1, 1)
async def hostile_queries(stranger: Stranger) -> None:
    """Ask for lists by hundreds of conditions, forged cursors, sorts without an index."""
    kinds = ["id=x&" * 500, "cursor=" + "A" * 5_000, "sort=color,content,-page_num&limit=200", "limit=99999999999"]
    await stranger.send(stranger.head(f"GET /api/annotations?{stranger.random.choice(kinds)}", 0))


async def repeat(stranger: Stranger, function: Attack, pause: float) -> None:
    """Attack again and again."""
    await asyncio.sleep(stranger.random.random() * 2)
    while True:
        await function(stranger)
        await asyncio.sleep(pause)


async def main() -> None:
    """Get what an attack needs, say so, and from the next line on standard input on attack until this process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("only", nargs="*")
    options = parser.parse_args()
    os.nice(10)  # what strangers do takes nothing of the server's processors
    stranger = Stranger(options.port)
    await stranger.settle()
    sys.stdout.write("settled\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    chosen = [kind for kind in ATTACKS if not options.only or kind[0].__name__ in options.only]
    await asyncio.gather(
        *(repeat(stranger, function, pause) for function, times, pause in chosen for _ in range(times))
    )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
