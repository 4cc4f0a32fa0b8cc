"""What one user can take: pages end by bytes, fields and rows are bounded, and so is what a user stores."""

from typing import Any

from tests.app.conftest import Start
from tests.app.support import Api, Json


def pages(api: Api, path: str, **params: Any) -> list[list[Json]]:
    """Return the pages of a list, from the first to the last."""
    found, cursor = [], None
    while True:
        response = api.get(path, params=params | ({"cursor": cursor} if cursor else {}))
        assert response.status_code == 200, response.text
        found.append(response.json()["items"])
        cursor = response.json()["next_cursor"]
        if cursor is None:
            return found


def test_a_page_ends_by_bytes(start: Start) -> None:
    """Ensure large rows make short pages, with a cursor to the next, and small ones don't."""
    ann = Api(start(page_bytes=20_000)).register()
    document = ann.upload()
    texts = ["x" * size for size in (10, 9_000, 9_000, 30_000, 10, 10)]
    for text in texts:
        ann.extract(document["id"], text=text)
    found = pages(ann, "/api/extractions", limit=200)
    assert [len(page) for page in found] == [3, 1, 2]
    assert [row["text"] for page in found for row in page] == texts
    assert [len(page) for page in pages(ann, "/api/documents")] == [1]
