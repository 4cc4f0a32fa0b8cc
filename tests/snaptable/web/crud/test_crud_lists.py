"""The list of crud_router, for random rows and filters: what plain Python would answer, by every page."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.snaptable.web.crud.shelf import Document, Shelf, routed

from snaptable import utc_now

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = st.sampled_from(["", "a", "A", "ab", "Straße", "STRASSE", "é,x"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": st.sampled_from(["ann", "ben"]),
            "title": WORDS,
            "pages": st.integers(0, 3),
            "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
            "created_at": st.integers(0, 2).map(lambda days: FIRST + timedelta(days=days)),
        }
    ),
    max_size=12,
)
KEEP: dict[str, Any] = {
    "pages": lambda row, value: row.pages == int(value),
    "pages__ne": lambda row, value: row.pages != int(value),
    "pages__gt": lambda row, value: row.pages > int(value),
    "pages__lte": lambda row, value: row.pages <= int(value),
    "pages__in": lambda row, value: row.pages in map(int, value.split(",")),
    "title": lambda row, value: row.title == value,
    "title__contains": lambda row, value: value.casefold() in row.title.casefold(),
    "title__starts_with": lambda row, value: row.title.startswith(value),
    "q": lambda row, value: value.casefold() in row.title.casefold(),
    "tags__has": lambda row, value: value in row.tags,
    "tags__isnull": lambda row, value: value == "false",
    "created_at__gte": lambda row, value: row.created_at >= datetime.fromisoformat(value),
}
NUMBERS, TEXTS = st.integers(0, 3).map(str), st.sampled_from(["a", "A", "ß", "ss", "b"])
VALUES: dict[str, Any] = {
    **dict.fromkeys(["pages", "pages__ne", "pages__gt", "pages__lte"], NUMBERS),
    **dict.fromkeys(["title", "title__contains", "title__starts_with", "q"], TEXTS),
    "pages__in": st.lists(NUMBERS, min_size=1, max_size=3).map(",".join),
    "tags__has": st.sampled_from(["x", "y", "z"]),
    "tags__isnull": st.sampled_from(["true", "false"]),
    "created_at__gte": st.sampled_from(["2026-01-02T00:00:00Z", "2026-01-03T00:00:00+00:00"]),
}
FILTERS = st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: VALUES[name] for name in names})
)
SORTS = st.sampled_from([None, "id", "-id", "pages", "-pages,title", "created_at,-title"])


def sorted_rows(rows: list[Document], sort: str | None) -> list[str]:
    """Return the keys of rows in an order; ties go by the key, in the direction of the last order."""
    parts = (sort or "id").split(",")
    parts.append("-id" if parts[-1].startswith("-") else "id")
    for part in reversed(parts):
        name = part.removeprefix("-")
        rows = sorted(rows, key=lambda row, name=name: getattr(row, name), reverse=part.startswith("-"))  # type: ignore[misc]
    return [row.id for row in rows]


@pytest.fixture(scope="module")
def shelf() -> Iterator[tuple[Shelf, TestClient]]:
    """Give a shelf with two users, and what ann asks it by; making the application takes as long as ten lists."""
    with Shelf("memory:") as db:
        for name in ("ann", "ben"):
            db.users.create(id=name, name=name)
        yield db, TestClient(routed(db), headers={"X-User": "ann"})


@given(rows=ROWS, filters=FILTERS, sort=SORTS, limit=st.integers(1, 5), fields=st.booleans())
def test_a_list_is_what_python_would_answer(
    shelf: tuple[Shelf, TestClient],
    rows: list[dict[str, Any]],
    filters: dict[str, str],
    sort: str | None,
    limit: int,
    fields: bool,
) -> None:
    """Ensure the same rows in the same order over all pages, one's own alone, and their number, whole or in part."""
    db, client = shelf
    db.documents.where().delete()
    stored = []
    for n, row in enumerate(rows):
        title = f"{row['title']}{'.' * n}"  # unique
        stored.append(db.documents.create(id=f"d{n:02}", updated_at=utc_now(), **row | {"title": title}))
    mine = [row for row in stored if row.user_id == "ann"]
    expected = [row for row in mine if all(KEEP[name](row, value) for name, value in filters.items())]
    query: dict[str, Any] = {**filters, "limit": limit, "count": "exact"}
    query |= {"sort": sort} if sort else {}
    query |= {"fields": "id"} if fields else {}
    seen: list[str] = []
    while True:
        answer = client.get("/documents", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["total"] == len(expected)
        assert len(page["items"]) <= limit
        assert all(set(item) == {"id"} for item in page["items"]) or not fields
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == sorted_rows(expected, sort)
