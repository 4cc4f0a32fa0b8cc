"""Lists: pages, sorting, filters."""

from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import Api, make_pdf, pointers


@pytest.fixture(scope="module")
def marked(shared: Api) -> tuple[Api, str, str]:
    """Give a user with nine extractions on two documents."""
    ann = shared
    first, second = ann.upload(make_pdf(9))["id"], ann.upload(make_pdf(2))["id"]
    for page in (5, 1, 9, 3, 7, 2):
        ann.extract(first, page=page, field_name=f"field{page}", text="x" * page)
    for page in (1, 2, 2):
        ann.extract(second, page=page, field_name="other", text="y", method="gemini-pico")
    return ann, first, second


def listed(api: Api, path: str = "/api/extractions", **query: Any) -> list[Any]:
    """Return the items of a list, in one page."""
    response = api.get(f"{path}?{urlencode(query)}")
    assert response.status_code == 200, response.text
    body = response.json()
    assert set(body) == {"items", "next_cursor"}
    return list(body["items"])


def test_lists_default_to_an_order_by_time(marked: tuple[Api, str, str]) -> None:
    """Ensure the oldest extraction first, and the newest document first."""
    ann, first, second = marked
    assert [row["page"] for row in listed(ann)] == [5, 1, 9, 3, 7, 2, 1, 2, 2]
    assert [row["id"] for row in listed(ann, "/api/documents")] == [second, first]


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 200])
@pytest.mark.parametrize("sort", ["page", "-page,field_name", "-timestamp", "text,-id"])
def test_pages_together_are_the_list(marked: tuple[Api, str, str], limit: int, sort: str) -> None:
    """Ensure that following the cursor shows every row once, in order, whatever the page size."""
    ann, _, _ = marked
    seen: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": limit, "sort": sort} | ({"cursor": cursor} if cursor else {})
        body = ann.get("/api/extractions", params=query).json()
        assert len(body["items"]) <= limit
        seen += body["items"]
        cursor = body["next_cursor"]
    assert seen == listed(ann, sort=sort)
    assert len({row["id"] for row in seen}) == 9


def test_sorting_by_several_fields(marked: tuple[Api, str, str]) -> None:
    """Ensure that later fields break ties."""
    ann, _, _ = marked
    rows = [(row["page"], row["field_name"]) for row in listed(ann, sort="-page,field_name")]
    assert rows == sorted(rows, key=lambda row: (-row[0], row[1]))


@pytest.mark.parametrize(
    ("query", "pages"),
    [
        ({"page": 2}, [2, 2, 2]),
        ({"page__gte": 7}, [9, 7]),
        ({"page__gt": 2, "page__lt": 7}, [5, 3]),
        ({"page__lte": 1}, [1, 1]),
        ({"page__ne": 2, "method": "gemini-pico"}, [1]),
        ({"page__in": "1,9"}, [1, 9, 1]),
        ({"field_name__starts_with": "field", "page__lt": 3}, [1, 2]),
        ({"text": "yy"}, []),
        ({"timestamp__gte": "2020-01-01"}, [5, 1, 9, 3, 7, 2, 1, 2, 2]),
        ({"timestamp__lt": "2020-01-01T00:00:00Z"}, []),
    ],
)
def test_filters(marked: tuple[Api, str, str], query: dict[str, Any], pages: list[int]) -> None:
    """Ensure that each operator narrows the list as it says, together as well."""
    ann, _, _ = marked
    assert [row["page"] for row in listed(ann, **query)] == pages


def test_filtering_by_document(marked: tuple[Api, str, str]) -> None:
    """Ensure that the rows of one document can be listed, or of several."""
    ann, first, second = marked
    assert len(listed(ann, document_id=first)) == 6
    assert len(listed(ann, document_id__in=f"{first},{second}")) == 9


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=ten", "/limit"),
        ("limit=", "/limit"),
        ("limit=1&limit=2", "/limit"),
        ("limit=\N{ARABIC-INDIC DIGIT ONE}", "/limit"),
        ("cursor=nonsense", "/cursor"),
        ("cursor=%00%ff", "/cursor"),
        ("sort=colour", "/sort"),
        ("sort=coordinates", "/sort"),
        ("sort=page,", "/sort"),
        ("sort=--page", "/sort"),
        ("colour=red", "/colour"),
        ("coordinates=1", "/coordinates"),
        ("user_id=x", "/user_id"),
        ("page__like=1", "/page__like"),
        ("page__=1", "/page__"),
        ("page__starts_with=1", "/page__starts_with"),
        ("page=one", "/page"),
        ("page__in=1,x", "/page__in"),
        ("timestamp__gte=yesterday", "/timestamp__gte"),
        ("__class__=x", "/__class__"),
    ],
)
def test_a_parameter_that_means_nothing_is_pointed_at(shared: Api, query: str, pointer: str) -> None:
    """Ensure 422 rather than a list that ignores what was asked."""
    assert pointers(shared.get(f"/api/extractions?{query}")) == [pointer]


def test_every_fault_of_a_query_is_told_at_once(ann: Api) -> None:
    """Ensure that one answer names them all."""
    assert pointers(ann.get("/api/extractions?limit=0&page=x&sort=y&z=1")) == ["/page", "/z", "/limit", "/sort"]


def test_a_cursor_belongs_to_its_list(marked: tuple[Api, str, str]) -> None:
    """Ensure that a cursor of another order is refused, not misread."""
    ann, _, _ = marked
    cursor = ann.get("/api/extractions?limit=2&sort=page").json()["next_cursor"]
    assert pointers(ann.get("/api/extractions", params={"sort": "-text", "cursor": cursor})) == ["/cursor"]


def test_a_cursor_outlives_changes_and_restarts(start: Start) -> None:
    """Ensure that rows added and removed meanwhile neither repeat nor hide others."""
    client: TestClient = start()
    ann = Api(client).register()
    document = ann.upload()["id"]
    ids = [ann.extract(document, page=1)["id"] for _ in range(6)]
    page = ann.get("/api/extractions?limit=3").json()
    ann.delete(f"/api/extractions/{ids[2]}")
    ann.delete(f"/api/extractions/{ids[4]}")
    ann.http = start()
    newest = ann.extract(document)["id"]
    rest = ann.get("/api/extractions", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert [row["id"] for row in page["items"] + rest["items"]] == [*ids[:4], ids[5], newest]
