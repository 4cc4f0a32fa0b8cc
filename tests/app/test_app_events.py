"""The log of security events: one line each, nothing secret, no more than so many, and nothing can break out of a line.

Ensures every kind of event over HTTP, and the bounds for any sequence of events.
"""

import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import PASSWORD, Api
from tests.growth import assert_proportional

from app.security.events import LINES_A_KIND, LINES_A_NETWORK, WINDOW, SecurityEvents

LINE = re.compile(
    r"[a-z ]+( address=[A-Za-z0-9.:_?-]*)?( account=(digest:)?[A-Za-z0-9.:_?-]+)?( number=\d+)?( left_out=\d+)?"
)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Give a function that returns the lines so far."""
    caplog.set_level(logging.INFO, "app.security")

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "app.security"]

    return lines


def test_each_event_is_one_line_with_account_and_address(start: Start, lines: Any) -> None:
    """Ensure who, from where and what, and neither e-mail address, password nor token."""
    client = start(login_failures=2, registrations=2)
    ann = Api(client).register()
    first = ann.headers["Authorization"]
    user_id = ann.get("/api/auth/me").json()["id"]
    Api(client).log_in()
    ann.delete("/api/auth/sessions")
    change = {"old_password": "wrong words", "new_password": "another long sentence"}
    ann.post("/api/auth/password", json=change)
    ann.post("/api/auth/password", json=change | {"old_password": PASSWORD})
    ann.get("/api/documents", headers={"Authorization": "Bearer made-up-token"})
    for _ in range(3):
        client.post("/api/auth/login", data={"username": "eve@example.org", "password": "wrong words"})
    client.post("/api/auth/login", data={"username": ann.email, "password": "wrong words"})
    for name in ("bob", "eve"):
        client.post("/api/auth/register", json={"email": f"{name}@example.org", "password": PASSWORD})
    ann.request("DELETE", "/api/auth/me", json={"password": "another long sentence"})
    seen = lines()
    assert [re.sub(" address=.*", "", line) for line in seen] == [
        "registered", "login ok", "login ok", "sessions ended", "password refused", "password changed", "token refused",
        "login failed", "login failed", "login limit reached", "login failed", "registered",
        "registration limit reached", "account deleted",
    ]  # fmt: skip
    own = [line for line in seen if f"account={user_id}" in line]
    assert len(own) == 8
    assert all("address=testclient" in line for line in seen)
    digests = {line.partition("digest:")[2] for line in seen if "digest:" in line}
    assert len(digests) == 1
    for line in seen:
        assert LINE.fullmatch(line)
        for secret in ("@", "example", PASSWORD, "wrong words", "another long", "made-up", first.split()[1]):
            assert secret not in line


def test_a_request_without_a_token_is_no_event(client: TestClient, lines: Any) -> None:
    """Ensure that who only isn't logged in yet leaves no line."""
    client.get("/api/documents")
    assert lines() == []


def test_refused_tokens_are_counted_when_there_are_many(client: TestClient, lines: Any) -> None:
    """Ensure over HTTP that a flood is some lines, and the number of the others."""
    for number in range(3 * LINES_A_NETWORK):
        client.get("/api/documents", headers={"Authorization": f"Bearer {number}"})
    assert len(lines()) == LINES_A_NETWORK
    client.app.state.resources.accounts.events.close()  # type: ignore[attr-defined]
    assert lines()[-1] == f"token refused left_out={2 * LINES_A_NETWORK}"


class HandClock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


ADDRESSES = st.one_of(st.ip_addresses().map(str), st.sampled_from(["", "192.0.2.1", "192.0.2.2"]), st.text())
EVENTS = st.tuples(st.sampled_from(["login failed", "login ok"]), ADDRESSES, st.text(), st.floats(0, 30))


@given(st.lists(EVENTS, max_size=60))
def test_all_are_written_or_counted_and_no_line_is_broken(events: list[tuple[str, str, str, float]]) -> None:
    """Ensure, for any addresses and ids, that each line is one line of the known shape, and the sum is right."""
    clock, written = HandClock(), list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: written.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("app.security")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        log = SecurityEvents(clock)
        for kind, address, account, pause in events:
            clock.now += pause
            log.report(kind, address, account=account or None, unknown=account)
        log.close()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert all(LINE.fullmatch(line) for line in written), written
    left_out = sum(int(line.partition("left_out=")[2] or 0) for line in written)
    assert left_out + sum("address=" in line for line in written) == len(events)


def test_a_flood_from_everywhere_is_bounded_and_costs_the_same_for_each(lines: Any) -> None:
    """Ensure that ever new addresses write so many lines a minute, and are counted."""
    clock = HandClock()
    log = SecurityEvents(clock)

    def flood(number: int) -> None:
        for each in range(number):
            log.report("login failed", f"10.{each >> 16 & 255}.{each >> 8 & 255}.{each & 255}", unknown="x")

    flood(3 * LINES_A_KIND)
    assert len(lines()) == LINES_A_KIND
    clock.now += WINDOW
    flood(1)
    assert f"left_out={2 * LINES_A_KIND}" in "".join(lines()[LINES_A_KIND:])
    assert_proportional(flood, lambda n: n, 2000)
