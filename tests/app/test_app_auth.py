"""Registering, logging in and out."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start, Stored
from tests.app.support import PASSWORD, Api, check_problem, pointers

from app.resources import Resources
from app.security.fair_queue import FairQueue


def login(client: TestClient, email: str, password: str = PASSWORD) -> Any:
    """Try to log in."""
    return client.post("/api/auth/login", data={"username": email, "password": password})


def test_register_answers_the_user_and_nothing_secret(client: TestClient) -> None:
    """Ensure 201 with exactly id, email and created_at."""
    response = client.post("/api/auth/register", json={"email": "ann@example.org", "password": PASSWORD})
    assert response.status_code == 201
    assert set(response.json()) == {"id", "email", "created_at"}
    assert response.json()["email"] == "ann@example.org"


def test_login_answers_a_bearer_token_that_opens_me(client: TestClient) -> None:
    """Ensure the OAuth2 answer, not to be cached, and that the token tells who it belongs to."""
    ann = Api(client).register()
    response = login(client, "ann@example.org")
    assert set(response.json()) == {"access_token", "token_type"}
    assert response.json()["token_type"] == "bearer"
    assert response.headers["cache-control"] == "no-store"
    assert ann.get("/api/auth/me").json()["email"] == "ann@example.org"


def test_addresses_compare_without_case(client: TestClient) -> None:
    """Ensure that one address is one account, however it is written."""
    Api(client, "Ann.Lee@Example.ORG").register()
    response = client.post("/api/auth/register", json={"email": "ann.lee@example.org", "password": PASSWORD})
    check_problem(response, 409)
    assert login(client, "ANN.LEE@example.org").status_code == 200


def test_wrong_password_and_unknown_user_look_the_same(client: TestClient) -> None:
    """Ensure that a failed login does not tell whether the account exists."""
    Api(client).register()
    wrong, unknown = login(client, "ann@example.org", "not this one"), login(client, "eve@example.org")
    assert check_problem(wrong, 401) == check_problem(unknown, 401)
    assert wrong.headers["www-authenticate"] == "Bearer"


def test_logout_ends_this_session_only(client: TestClient) -> None:
    """Ensure that a token is dead after logout, and the user's other one alive."""
    first = Api(client).register()
    second = Api(client).log_in()
    assert first.post("/api/auth/logout").status_code == 204
    check_problem(first.get("/api/auth/me"), 401)
    assert second.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic YTpi", "Bearer é"])
def test_without_a_good_token_the_answer_is_401(shared: Api, header: str | None) -> None:
    """Ensure the challenge, whatever is wrong with the header."""
    headers = [(b"Authorization", header.encode("latin-1"))] if header else []
    response = shared.http.get("/api/documents", headers=headers)
    check_problem(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"


def test_sessions_survive_a_restart_and_tokens_are_not_in_the_file(start: Start, stored: Stored) -> None:
    """Ensure that a login lasts across a restart, though only the token's hash is stored."""
    ann = Api(start()).register()
    text = json.dumps({table: stored(table) for table in ("users", "sessions")})
    token = ann.headers["Authorization"].removeprefix("Bearer ")
    assert token not in text
    assert PASSWORD not in text
    assert len(stored("sessions")) == 1
    ann.http = start()
    assert ann.get("/api/auth/me").status_code == 200


def test_a_session_expires(start: Start) -> None:
    """Ensure that a token is refused after its time, and its row cleared away by the next login."""
    client = start(session_hours=1e-9)
    ann = Api(client).register()
    check_problem(ann.get("/api/auth/me"), 401)
    ann.log_in()
    assert client.app.state.db.sessions.count() == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"password": PASSWORD}, "/email"),
        ({"email": "no address", "password": PASSWORD}, "/email"),
        ({"email": "ann@example.org"}, "/password"),
        ({"email": "ann@example.org", "password": "short"}, "/password"),
        ({"email": "ann@example.org", "password": "x" * 1025}, "/password"),
        ({"email": "ann@example.org", "password": "é" * 600}, "/password"),
        ({"email": "ann@example.org", "password": 12345678}, "/password"),
        ({"email": "ann@example.org", "password": PASSWORD, "is_admin": True}, "/is_admin"),
        ({"email": "ann@example.org", "password": PASSWORD, "a/b~c": 1}, "/a~1b~0c"),
        ([], ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_a_wrong_field_is_pointed_at_and_never_repeated(shared: Api, body: Any, pointer: str) -> None:
    """Ensure 422 with a JSON pointer, and no value of the request in the answer."""
    response = shared.http.post("/api/auth/register", json=body)
    assert pointers(response) == [pointer]
    for value in body.values() if isinstance(body, dict) else ():
        assert len(str(value)) < 5 or str(value) not in response.text


def test_an_oversized_password_is_refused_before_it_is_hashed(client: TestClient) -> None:
    """Ensure that logging in with a huge password is an ordinary failure, or too large a request."""
    Api(client).register()
    check_problem(login(client, "ann@example.org", "x" * 10_000), 401)
    check_problem(login(client, "ann@example.org", "x" * 100_000), 413)
    check_problem(login(client, "ann@example.org", "\x00"), 401)


def test_login_without_its_fields_is_422(client: TestClient) -> None:
    """Ensure that the form's fields are pointed at."""
    assert pointers(client.post("/api/auth/login", data={"username": "ann@example.org"})) == ["/password"]
    assert pointers(client.post("/api/auth/login", json={"username": "a", "password": "b"})) == [
        "/username",
        "/password",
    ]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_a_login_that_is_no_form_is_told_what_a_form_is(client: TestClient, content_type: str | None) -> None:
    """Ensure that who sends JSON reads which content type and which fields are wanted."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = json.dumps({"username": "ann@example.org", "password": PASSWORD})
    response = client.post("/api/auth/login", content=body, headers=headers)
    for error in check_problem(response, 422)["errors"]:
        for word in ("application/x-www-form-urlencoded", "username", "password"):
            assert word in error["detail"]


def test_failures_are_limited_and_a_success_clears_them(start: Start) -> None:
    """Ensure 429 with Retry-After after so many failures, and not before; successes are free."""
    client = start(login_failures=3)
    Api(client).register()
    for _ in range(5):
        login(client, "ann@example.org", "wrong")
        login(client, "ann@example.org", "wrong")
        assert login(client, "ann@example.org").status_code == 200
    for _ in range(3):
        check_problem(login(client, "ann@example.org", "wrong"), 401)
    limited = login(client, "ann@example.org")
    check_problem(limited, 429)
    assert 0 < int(limited.headers["retry-after"]) <= 300


def test_the_limit_ends_with_its_window(start: Start) -> None:
    """Ensure that nobody is locked out for good."""
    client = start(login_failures=1, login_window=1)
    Api(client).register()
    login(client, "ann@example.org", "wrong")
    while (response := login(client, "ann@example.org")).status_code == 429:
        assert int(response.headers["retry-after"]) <= 1
    assert response.status_code == 200


def test_an_address_that_tries_many_accounts_is_limited(start: Start) -> None:
    """Ensure that spraying one password over accounts ends in 429."""
    client = start(login_address_failures=5)
    statuses = [login(client, f"user{number}@example.org", "wrong").status_code for number in range(8)]
    assert statuses == [401] * 5 + [429] * 3


def test_registrations_are_limited(start: Start) -> None:
    """Ensure that one address can't fill the store with users."""
    client = start(registrations=2)
    bodies = [{"email": f"user{number}@example.org", "password": PASSWORD} for number in range(3)]
    assert [client.post("/api/auth/register", json=body).status_code for body in bodies] == [201, 201, 429]


def test_too_many_waiting_for_a_hash_are_told_to_come_back(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure 503 rather than an endless queue."""
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    monkeypatch.setattr(resources.accounts.passwords, "_queue", FairQueue(0, waiting=0, patience=1))
    response = client.post("/api/auth/register", json={"email": "ann@example.org", "password": PASSWORD})
    check_problem(response, 503)
    assert response.headers["retry-after"]


def test_rows_hold_the_canonical_address(client: TestClient, stored: Stored) -> None:
    """Ensure that the file, or the table, shows one form, whatever was typed."""
    Api(client, "ANN@Example.org").register()
    users = stored("users")
    assert [user["email"] for user in users] == ["ann@example.org"]
    assert all(user["password_hash"].startswith("$argon2id$") for user in users)


@pytest.mark.parametrize(
    ("registered", "typed"),
    [("pa\u0308ssword", "p\u00e4ssword"), ("p\u00e4ssword", "pa\u0308ssword"), ("horse batte\uff52y", "horse battery")],
)
def test_passwords_compare_in_one_unicode_form(client: TestClient, registered: str, typed: str) -> None:
    """Ensure that a password opens however a keyboard composes it."""
    body = {"email": "uni@example.org", "password": registered}
    assert client.post("/api/auth/register", json=body).status_code == 201
    for password in (registered, typed):
        login = client.post("/api/auth/login", data={"username": "uni@example.org", "password": password})
        assert login.status_code == 200, login.text
    wrong = client.post("/api/auth/login", data={"username": "uni@example.org", "password": "passwort"})
    assert wrong.status_code == 401
