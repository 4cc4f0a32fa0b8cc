"""The pages of a snapshot hold the bytes of their rows, however changes are gathered before somebody wants them."""

from hypothesis import given
from hypothesis import strategies as st

from snaptable.changes.records import Delete, Insert, Replace
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.pages import PageGroup, Pages, RowPage
from snaptable.values.row_lines import encode_line, join_lines, line_start

KEYS = ["a", "b", "aa", 'q"', "é", "\\", "7"]
"""Some begin like others, or are spelled otherwise than they read."""
Rows = dict[str, bytes]


def lines(rows: Rows) -> bytes:
    """Return rows as they stand in a file."""
    return join_lines(encode_line(key, row) for key, row in rows.items())


steps = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(["put", "put", "put", "delete", "render"]), st.integers(0, 90)),
    max_size=60,
)


@given(st.lists(st.sampled_from(KEYS), unique=True), steps)
def test_a_page_is_what_was_put_into_it(begun: list[str], todo: list[tuple[str, str, int]]) -> None:
    """Whatever is added, replaced and removed, rendered or not, bytes, size and count are those of a dictionary."""
    rows: Rows = dict.fromkeys(begun, b"{}")
    page = RowPage(lines(rows), len(rows))
    for key, what, length in todo:
        row, start = b'{"n":"%b"}' % (b"x" * length), line_start(key)
        if what == "render":
            assert page.render() == lines(rows)
        elif what == "delete":
            if rows.pop(key, None) is not None:
                page.remove(start)
        elif key in rows:
            rows[key] = row
            page.replace(start, start + row)
        else:
            rows[key] = row
            page.append(start + row)
        assert (page.size, page.rows) == (len(lines(rows)), len(rows))
    assert page.render() == lines(rows)


@given(steps, st.integers(0, 59), st.booleans())
def test_a_snapshot_is_that_of_its_moment(todo: list[tuple[str, str, int]], moment: int, at_once: bool) -> None:
    """Groups that were marked, and parts that were taken, hold the rows of then, whatever gathers in their pages."""
    pages, rows, groups, expected = Pages(("t",)), Rows(), list[PageGroup](), b""
    parts = list[ChecksummedBytes]()
    for number, (key, what, length) in enumerate(todo):
        if number == moment:
            expected = lines(rows)
            if at_once:
                parts = pages.parts()["t"]
            else:
                groups = pages.mark()["t"]
        row = b'{"n":"%b"}' % (b"x" * length)
        if what == "delete" and rows.pop(key, None) is not None:
            pages.apply_changes([Delete("t", key)])
        elif what == "put":
            pages.apply_changes([(Replace if key in rows else Insert)("t", key, row)])
            rows[key] = row
        assert pages.size == len(lines(rows)), "a file is preallocated by it"
    parts += [group.collect() for group in groups]
    assert join_lines(b"".join(part.buffers) for part in parts) == expected
    assert join_lines(pages.render()["t"]) == lines(rows)
