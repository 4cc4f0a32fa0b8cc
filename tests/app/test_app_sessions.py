"""Sessions and passwords of an account: bounded, listed, ended; a changed password leaves one session, and no other.

Ensures that no token or hash is ever shown, that another's session is as good as missing, that use keeps a session
alive without a write a request, and that no login slips in beside a change of the password.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import bcrypt
import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import PASSWORD, Api, Json, check_problem, pointers
from tests.snaptable.postgres import stores

from app.errors import PasswordChanged, SessionEnded
from app.library import Library
from app.resources import Resources
from app.services import sessions, users
from app.services.sessions import AT_A_TIME, SessionTerms
from app.tables import Session, User
from snaptable import ReadOnlyStore, utc_now
from snaptable.storage.journal.segment import Segment

NEW = "another long sentence"


def resources_of(client: TestClient) -> Resources:
    """Return what the application in this process owns."""
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    return resources


def log_in(client: TestClient, password: str = PASSWORD, email: str = "ann@example.org") -> Any:
    """Try to log in."""
    return client.post("/api/auth/login", data={"username": email, "password": password})


def is_in(api: Api) -> bool:
    """Return whether the token is taken."""
    return api.get("/api/auth/me").status_code == 200


def listed(api: Api) -> list[dict[str, Any]]:
    """Return the sessions that the user is shown."""
    items: list[dict[str, Any]] = api.get("/api/auth/sessions").json()["items"]
    return items


# ── bounded, listed, ended ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_has_so_many_sessions_and_the_oldest_goes(start: Start) -> None:
    """Ensure that logging in again and again leaves a bounded number, the youngest."""
    client = start(sessions=3)
    bob = Api(client, "bob@example.org").register()
    logins = [Api(client).register(), *(Api(client).log_in() for _ in range(4))]
    assert [is_in(api) for api in logins] == [False, False, True, True, True]
    assert len(listed(logins[-1])) == 3
    assert is_in(bob)


def test_sessions_are_listed_without_anything_secret(ann: Api, client: TestClient, bob: Api) -> None:
    """Ensure the youngest first, one of them current, and neither token, hash nor another's session."""
    other = Api(client).log_in()
    items = listed(other)
    assert [set(item) for item in items] == [{"id", "created_at", "expires_at", "current"}] * 2
    assert [item["current"] for item in items] == [True, False]
    assert items[0]["created_at"] > items[1]["created_at"]
    text = other.get("/api/auth/sessions").text
    for row in resources_of(client).db.sessions.where().all():
        assert row.token_sha256 not in text
    assert ann.headers["Authorization"].removeprefix("Bearer ") not in text


def test_a_session_is_ended_by_its_id_and_not_by_another_user(ann: Api, client: TestClient, bob: Api) -> None:
    """Ensure 204 for one's own, and the same 404 for another's as for a missing one."""
    other = Api(client).log_in()
    session_id = listed(ann)[0]["id"]
    missing = check_problem(bob.delete("/api/auth/sessions/missing"), 404)
    assert check_problem(bob.delete(f"/api/auth/sessions/{session_id}"), 404) == missing
    assert is_in(other)
    assert ann.delete(f"/api/auth/sessions/{session_id}").status_code == 204
    assert not is_in(other)
    assert is_in(ann)
    check_problem(ann.delete(f"/api/auth/sessions/{session_id}"), 404)


def test_all_other_sessions_end_at_once(ann: Api, client: TestClient, bob: Api) -> None:
    """Ensure that the caller and other users stay."""
    others = [Api(client).log_in() for _ in range(3)]
    assert ann.delete("/api/auth/sessions").status_code == 204
    assert [is_in(api) for api in (ann, bob, *others)] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sessions"),
        ("DELETE", "/sessions"),
        ("DELETE", "/sessions/x"),
        ("POST", "/password"),
        ("DELETE", "/me"),
    ],
)
def test_all_of_it_takes_a_token(client: TestClient, method: str, path: str) -> None:
    """Ensure 401 for strangers."""
    body = {"old_password": PASSWORD, "new_password": NEW, "password": PASSWORD}
    check_problem(client.request(method, f"/api/auth{path}", json=body), 401)


# ── kept alive by use ───────────────────────────────────────────────────────────────────────────────────────────────


def age(client: TestClient, by: timedelta) -> None:
    """Let time pass for every session."""
    db = resources_of(client).db
    for row in db.sessions.where().all():
        db.sessions.update(row.id, created_at=row.created_at - by, expires_at=row.expires_at - by)


def test_a_session_ends_when_it_is_not_used_and_lasts_by_use(start: Start) -> None:
    """Ensure the idle time, counted from the last use, and the lifetime over it."""
    client = start(session_idle_hours=10, session_hours=30)
    used, unused = Api(client).register(), Api(client).log_in()
    for _ in range(3):
        age(client, timedelta(hours=9))
        assert is_in(used)
    assert not is_in(unused)
    age(client, timedelta(hours=4))
    assert not is_in(used)


@pytest.fixture
def last_write(engine: str, database: Json, client: TestClient) -> Callable[[], int]:
    """Give a function that returns the number of the last write: that of its commit, or of its record's transaction."""
    if engine == "memory":
        return lambda: resources_of(client).db.status().sequence
    schema = stores.schema_of(database["database_url"])
    return lambda: int(str(stores.administer(f"select max(xmin::text::int8) from {schema}.sessions")[0][0]))


def test_use_is_written_once_an_hour_at_most(
    ann: Api, client: TestClient, last_write: Callable[[], int], engine: str
) -> None:
    """Ensure that requests write nothing, and one in an hour does."""
    before = last_write()
    for _ in range(50):
        assert is_in(ann)
    assert last_write() == before
    age(client, timedelta(minutes=61))
    before = last_write()
    assert is_in(ann)
    after = last_write()
    assert after == before + 1 if engine == "memory" else after > before
    for _ in range(49):
        assert is_in(ann)
    assert last_write() == after


def test_a_session_that_can_not_be_renewed_still_serves(ann: Api, client: TestClient, monkeypatch: Any) -> None:
    """Ensure that reads go on while the store takes no writes."""
    age(client, timedelta(hours=5))

    async def refuse(*_: Any, **__: Any) -> None:
        raise ReadOnlyStore("no writes")

    monkeypatch.setattr(resources_of(client).db, "run", refuse)
    assert is_in(ann)


def test_terms_that_became_stricter_hold_for_sessions_that_are_there(start: Start) -> None:
    """Ensure that a restart with a shorter idle time shortens what is stored, at the next use."""
    ann = Api(start(session_idle_hours=300)).register()
    client = start(session_idle_hours=2)
    ann.http = client
    assert is_in(ann)
    (row,) = resources_of(client).db.sessions.where().all()
    assert row.expires_at <= utc_now() + timedelta(hours=2)


def test_expired_sessions_go_some_hundred_at_a_time(client: TestClient, ann: Api) -> None:
    """Ensure that one login does not clear away all that has piled up, and that they do go."""
    db = resources_of(client).db
    user = users.by_email(db, "ann@example.org")
    assert user is not None
    long_ago = utc_now() - timedelta(days=30)
    total = 2 * AT_A_TIME + 50
    with db.transaction():
        for number in range(total):
            db.sessions.insert(
                Session(user_id=user.id, token_sha256=f"{number:064}", created_at=long_ago, expires_at=long_ago)
            )
    left = []
    for _ in range(2):
        log_in(client)
        left.append(db.sessions.where(Session.expires_at <= utc_now()).count())
    # The account's own bound takes further ones of the same user, as many again at most.
    assert left[0] >= total - 2 * AT_A_TIME
    assert left[1] == 0


# ── the password ────────────────────────────────────────────────────────────────────────────────────────────────────


def change(api: Api, old: str = PASSWORD, new: str = NEW) -> Any:
    """Ask for another password."""
    return api.post("/api/auth/password", json={"old_password": old, "new_password": new})


def test_another_password_ends_all_other_sessions_in_one_commit(ann: Api, client: TestClient) -> None:
    """Ensure that the new one opens, the old one doesn't, and the caller alone stays logged in."""
    others = [Api(client).log_in() for _ in range(3)]
    db = resources_of(client).db
    before = db.status().sequence
    assert change(ann).status_code == 204
    assert db.status().sequence == before + 1
    assert [is_in(api) for api in (ann, *others)] == [True, False, False, False]
    check_problem(log_in(client), 401)
    assert log_in(client, NEW).status_code == 200


def test_a_wrong_old_password_is_pointed_at_and_counts(start: Start) -> None:
    """Ensure that a stolen token is no way to guess the password."""
    client = start(login_failures=3)
    ann = Api(client).register()
    for _ in range(3):
        response = change(ann, "not this one")
        assert pointers(response) == ["/old_password"]
    limited = change(ann)
    check_problem(limited, 429)
    assert int(limited.headers["retry-after"]) > 0
    assert is_in(ann)


@pytest.mark.parametrize("new", ["short", "password", "ann@example.org", "x" * 1025])
def test_a_bad_new_password_is_pointed_at_and_nothing_changes(ann: Api, client: TestClient, new: str) -> None:
    """Ensure that the rules of registering hold."""
    other = Api(client).log_in()
    assert pointers(change(ann, new=new)) == ["/new_password"]
    assert log_in(client).status_code == 200
    assert is_in(other)


def test_a_login_verified_against_the_old_password_begins_no_session(client: TestClient, ann: Api) -> None:
    """Ensure that `begin` refuses when the stored hash is another than the one that was verified."""
    resources = resources_of(client)
    db, terms = resources.db, resources.accounts.terms
    verified = users.by_email(db, "ann@example.org")
    assert verified is not None
    assert change(ann).status_code == 204
    with pytest.raises(PasswordChanged):
        sessions.begin(db, verified, "token", terms)


def test_no_login_with_the_old_password_slips_in_beside_a_change(start: Start) -> None:
    """Ensure, with logins under way while the password is changed, that no session of the old one is left."""
    client = start(login_failures=1000, login_address_failures=1000)
    ann = Api(client).register()
    old, new = PASSWORD, NEW
    with ThreadPoolExecutor(7) as pool:
        for _ in range(6):
            logins = [pool.submit(log_in, client, old) for _ in range(3)]
            changed = pool.submit(change, ann, old, new)
            logins += [pool.submit(log_in, client, old) for _ in range(3)]
            assert changed.result().status_code == 204
            assert {login.result().status_code for login in logins} <= {200, 401}
            assert [item["current"] for item in listed(ann)] == [True]
            old, new = new, old


def test_logins_side_by_side_on_an_outdated_hash_all_succeed(start: Start) -> None:
    """Ensure that a hash that was replaced by another login meanwhile is no other password."""
    client = start()
    Api(client).register()
    db = resources_of(client).db
    user = users.by_email(db, "ann@example.org")
    assert user is not None
    db.users.update(user.id, password_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    with ThreadPoolExecutor(6) as pool:
        logins = [pool.submit(log_in, client) for _ in range(6)]
    assert [login.result().status_code for login in logins] == [200] * 6
    assert db.users[user.id].password_hash.startswith("$argon2id$")


def test_logins_side_by_side_succeed_on_a_slow_disk(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a hash is looked at again where a login replaced it, though that is not durable yet."""
    client = start()
    Api(client).register()
    db = resources_of(client).db
    user = users.by_email(db, "ann@example.org")
    assert user is not None
    db.users.update(user.id, password_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())
    append = Segment.append

    def slow_append(segment: Segment, commits: Any) -> str:
        time.sleep(0.3)
        return append(segment, commits)

    monkeypatch.setattr(Segment, "append", slow_append)
    with ThreadPoolExecutor(6) as pool:
        logins = [pool.submit(log_in, client) for _ in range(6)]
    assert [login.result().status_code for login in logins] == [200] * 6


def test_a_session_that_was_ended_meanwhile_has_no_say() -> None:
    """Ensure that who was logged out everywhere can't change the password by a request that is under way."""

    async def work() -> None:
        with Library("memory:", banner=False) as db:
            terms = SessionTerms(timedelta(days=1), timedelta(days=1), 5)
            user = db.users.insert(User(email="ann@example.org", password_hash="x"))
            session = sessions.begin(db, user, "a", terms)
            other = sessions.begin(db, user, "b", terms)
            await db.run(sessions.end_others, user, other.id)
            with pytest.raises(SessionEnded):
                await db.run(users.change_password, user, session.id, "y")
            with pytest.raises(SessionEnded):
                await db.run(users.close_account, user, session.id)
            assert db.users[user.id] == user
            assert db.sessions.count() == 1

    asyncio.run(work())


def test_what_is_remembered_of_a_token_never_outlives_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a token stops to work with its row at once, and follows it; and that few keys are kept."""
    monkeypatch.setattr(sessions, "MOST_KEYS", 3)
    terms = SessionTerms(timedelta(days=1), timedelta(days=1), 50)
    with Library("memory:", banner=False) as db:
        user = db.users.insert(User(email="ann@example.org", password_hash="x"))
        tokens = [f"token {number}" for number in range(10)]
        begun = {token: sessions.begin(db, user, token, terms) for token in tokens}
        for _ in range(2):
            assert [sessions.of_token(db, token) for token in tokens] == [(user, begun[token]) for token in tokens]
            assert sessions.of_token(db, "unknown") is None
            assert len(db.session_keys) <= 3
        last, before = begun[tokens[-1]], begun[tokens[-2]]
        # 1. Ended: at once.
        sessions.log_out(db, last.id)
        assert [sessions.of_token(db, tokens[-1]) for _ in range(2)] == [None, None]
        # 2. The row is another token's.
        db.sessions.update(before.id, token_sha256=last.token_sha256)
        assert sessions.of_token(db, tokens[-2]) is None
        assert sessions.of_token(db, tokens[-1]) == (user, db.sessions[before.id])
        # 3. Over, or the account is.
        db.sessions.update(before.id, expires_at=utc_now())
        assert sessions.of_token(db, tokens[-1]) is None
        db.users.update(user.id, deleted_at=utc_now())
        assert all(sessions.of_token(db, token) is None for token in tokens)


def test_strangers_are_refused_before_their_body_is_read(client: TestClient) -> None:
    """Ensure that what a stranger sends is not even parsed, on every route that takes rows."""
    for path in ("/api/annotations", "/api/extractions"):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            sent = {"Content-Type": "application/json", **headers}
            check_problem(client.post(path, content=b"{", headers=sent), 401)
            check_problem(client.post(path, json={"unknown": 1}, headers=sent), 401)
