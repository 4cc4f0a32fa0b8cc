"""The bound on request bodies."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from snaptable.web import BodyLimit, install_problems


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Give an application that reads what it is sent: up to 200 bytes under one path, else up to 100."""
    app = FastAPI()
    install_problems(app)
    app.add_middleware(BodyLimit, limit_of=lambda scope: 200 if scope["path"] == "/large" else 100)

    @app.post("/{path}")
    async def count(request: Request, path: str) -> int:
        return len(await request.body())

    return TestClient(app, raise_server_exceptions=False)


def stream(size: int) -> Iterator[bytes]:
    """Yield bytes in small pieces, so that no length is declared."""
    yield from [b"x" * 10] * (size // 10)


@pytest.mark.parametrize(("path", "limit"), [("/small", 100), ("/large", 200)])
def test_a_body_is_bounded_whether_its_length_is_declared_or_not(client: TestClient, path: str, limit: int) -> None:
    """Ensure that as many bytes as allowed are read, and one more is 413, after which the connection is closed."""
    for content in (b"x" * limit, stream(limit)):
        assert client.post(path, content=content).json() == limit
    for content in (b"x" * (limit + 1), stream(limit + 10)):
        response = client.post(path, content=content)
        assert (response.status_code, response.headers["content-type"]) == (413, "application/problem+json")
        assert response.headers["connection"] == "close"
        assert str(limit) in response.json()["detail"]
