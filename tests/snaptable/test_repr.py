"""What a table, a query, a page and a database look like in a log, a debugger or a notebook: names, never values."""

from datetime import datetime

import pytest

from snaptable import Database, Query, Row, Table, contains, desc, one_of, starts_with, utc_now
from snaptable.engines import shown_url


class User(Row):
    id: str
    email: str
    tags: tuple[str, ...] = ()
    password: str | None = None
    created_at: datetime


class Library(Database):
    users: Table[User]


def user(key: str) -> User:
    """Return a row that holds a secret."""
    return User(id=key, email="a@b.org", password="secret", created_at=utc_now())


def test_a_table_says_how_many_rows_it_holds() -> None:
    """And of what, and whether its database is closed."""
    db = Library("memory:")
    assert repr(db.users) == "<Table users of User (closed)>"
    assert repr(db) == "<Library memory: (closed)>"
    with db:
        assert repr(db.users) == "<Table users: 0 rows of User>"
        db.users.insert(user("1"))
        assert repr(db.users) == "<Table users: 1 row of User>"
        db.users.insert_many(user(str(number)) for number in range(2, 1235))
        assert repr(db.users) == "<Table users: 1,234 rows of User>"
        assert repr(db) == "<Library memory: (open)>"


QUERIES = [
    (lambda users: users.where(), "<Query users: every row>"),
    (lambda users: users.where(email="secret").limit(20), "<Query users: where email == …, limit 20>"),
    (
        lambda users: users.where(User.email != "secret", password=None).order_by(desc(User.created_at), User.id),
        "<Query users: where email != … & password == None, order by created_at descending, id>",
    ),
    (
        lambda users: users.where((User.email == "secret") | ~(User.password != None), User.id < "secret").offset(3),  # noqa: E711
        "<Query users: where (email == … | ~(password != None)) & id < …, offset 3>",
    ),
    (
        lambda users: users.where(contains(User.tags, "secret"), starts_with(User.email, "secret")).order_by(User.id),
        "<Query users: where contains(tags, …) & starts_with(email, …), order by id>",
    ),
    (lambda users: users.where(one_of(User.email, ["secret"])), "<Query users: where one_of(email, …)>"),
]


@pytest.mark.parametrize(("ask", "expected"), QUERIES)
def test_a_query_says_what_it_asks(ask: "type[Query[User]]", expected: str) -> None:
    """Fields and operators as they were written; of the values, which may be secrets, nothing."""
    db = Library("memory:")
    assert repr(ask(db.users)) == expected  # type: ignore[call-arg,arg-type]


def test_a_page_says_how_many_rows_it_has() -> None:
    """And whether more follow."""
    with Library("memory:") as db:
        db.users.insert_many([user("1"), user("2")])
        query = db.users.order_by(User.id)
        page = query.page(limit=1)
        assert repr(page) == "<Page: 1 row, more follow>"
        assert repr(query.page(limit=2, after=page.next_cursor)) == "<Page: 1 row, the last page>"
        assert repr(db.users.where(id="3").page()) == "<Page: 0 rows, the last page>"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:sesame@db/x", "postgresql://ann:se@sa/me@db/x", "postgresql://ann:ses?sesame@db/x",
        "postgresql://:sesame@db", "postgresql://db/x?password=sesame&user=ann", "postgresql://db/x?pass%77ord=sesame",
        "postgresql://db/x?sslpassword=sesame", "postgres://ann:sesame@[::1/x", "postgresql://ann:sesame@a:1,b:2/x?target=any",
    ],
)  # fmt: skip
def test_no_password_of_a_server_is_shown(url: str) -> None:
    """Ensure a database says where it is without the password, however that is written; and a fork of it too."""
    shown = shown_url(url)
    assert "sesame" not in shown
    assert "sa/me" not in shown
    assert (
        shown_url("postgresql://ann@db:5432/x?application_name=a@b")
        == "postgresql://ann@db:5432/x?application_name=a@b"
    )
