"""Pages that end by bytes: as many rows as fit, one at least, every row in its order, whatever the sizes."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.snaptable.contract.stores import Stores

from snaptable import Database, Row, Table, asc, desc, numbered


class Text(Row):
    id: int = numbered()
    text: str


class Texts(Database):
    texts: Table[Text]


ROWS = TypeAdapter(list[Text])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4000), max_size=30), st.integers(1, 9000), st.integers(1, 30), st.booleans())
def test_a_page_holds_as_many_rows_as_fit(
    stores: Stores, sizes: list[int], most: int, limit: int, backwards: bool
) -> None:
    """Ensure a page ends before the row that is too much, and the pages together are all rows, in order."""
    with stores.new(Texts) as db:
        rows = db.texts.insert_many([Text(text="é" * size) for size in sizes])
        expected = rows[::-1] if backwards else rows
        query = db.texts.where().order_by(desc(Text.id) if backwards else asc(Text.id))
        found: list[Text] = []
        cursor: str | None = None
        while True:
            array, cursor = query.page_json(limit=limit, after=cursor, max_bytes=most)
            page = ROWS.validate_json(array)
            assert array == ROWS.dump_json(page)
            assert len(array) <= most or len(page) <= 1
            found += page
            if cursor is None:
                break
            assert len(page) == limit or len(ROWS.dump_json([*page, expected[len(found)]])) > most
        assert found == expected


def test_a_page_without_rows(stores: Stores) -> None:
    """Ensure that nothing is an empty array, and the last page, however little is allowed."""
    with stores.new(Texts) as db:
        assert db.texts.where().page_json(max_bytes=1) == (b"[]", None)


def test_few_rows_are_written_beyond_what_fits() -> None:
    """Ensure small rows in front don't let hundreds of large ones be written, only to be left out."""
    with Texts("memory:") as db:
        db.texts.insert_many([*(Text(text="") for _ in range(4)), *(Text(text="x" * 100_000) for _ in range(196))])
        query = db.texts.where()
        query.page_json(limit=1)
        tracemalloc.start()
        array, cursor = query.page_json(limit=200, max_bytes=150_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(array) <= 150_000
        assert cursor is not None
        assert peak < 5_000_000  # all of them are 20 million
