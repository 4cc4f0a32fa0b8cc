"""Files that are damaged, or made to do harm, are refused in words, with file and line, in a bounded time."""

import gzip
import io
import sqlite3
import tracemalloc
import zipfile
from contextlib import closing
from itertools import islice, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.growth import assert_proportional

from snaptable import Database, Row, Table
from snaptable.errors import InterchangeError, UnreadableFile
from snaptable.interchange import FORMATS, plan_import, read_bytes, read_file, suggested_mapping


class Item(Row):
    id: str
    text: str = ""


class Store(Database):
    items: Table[Item]


def zipped() -> bytes:
    """Return a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rows.json", "[]")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (zipped(), "rows.json", "zip"),
        (gzip.compress(b"[]", mtime=0), "rows.csv", "gzip"),
        ('[{"id": "é"}]'.encode("utf-16"), "rows.json", "UTF-16"),
        ("id\né\n".encode("utf-32"), "rows.csv", "UTF-32"),
        ("id\nabc\né\n".encode("latin-1"), "rows.csv", "line 3: byte 0xE9 is not UTF-8"),
        ('[\n{"id": "é"}]'.encode("latin-1"), "rows.json", "line 2: byte 0xE9"),
        (b"[" * 100_000, "rows.json", "nested deeper"),
        (b'[{"id": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}]", "rows.json", "nested deeper"),
        (b'[{"id": "1"},\n{"id": "2", "id": "3"}]', "rows.json", "line 2 on: a key stands twice"),
        (b'{"a": [],\n"a": []}', "rows.json", "'a' stands twice"),
        (b'[{"id": NaN}]', "rows.json", "NaN"),
        (b'[{"id": 1e999}]', "rows.json", "beyond what a float holds"),
        (b'[{"id": ' + b"1" * 5_000 + b"}]", "rows.json", "too many digits"),
        (b'[{"id": "1"}', "rows.json", "line 1: "),
        (b'[{"id": "1"}] trailing', "rows.json", "follows the end"),
        (b"", "rows.json", "not JSON"),
        (b'"just a text"', "rows.json", "array or an object"),
        (b"", "rows.csv", "is empty"),
        (b'id,text\n1,"open\nand open\n', "rows.csv", "line 2: a quote is opened|line 3: a quote is opened"),
        (b'id,text\n1,"a"b\n', "rows.csv", "line 2: something follows the closing quote"),
        (b"id,text\n1,a\0b\n", "rows.csv", "line 2: it holds a NUL"),
        (b"id,id\n1,2\n", "rows.csv", "two columns are called 'id'"),
        (b"SQLite format 3\0" + b"\xff" * 4_000, "rows.db", "sqlite"),
        (b"no database", "rows.sqlite", "not a sqlite file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_in_words(data: bytes, name: str, words: str) -> None:
    """Ensure that each kind of bad file is refused with what is wrong, and where."""
    with pytest.raises(UnreadableFile, match=words) as caught:
        read_bytes(data, name)
    assert name in str(caught.value)
    assert caught.value.path == name


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b'{"id": "1", "id": "2"}', "twice"),
        (b'{"id": "\\ud800"}', "surrogate"),
        (b'{"id": ' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper"),
        (b'{"id": "' + b"x" * (17 << 20) + b'"}', "longer than 16 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_line_is_told_beside_the_others(line: bytes, words: str) -> None:
    """Ensure that a line of JSON lines that can't be read is a fault of that line, and the others are judged too."""
    with Store("memory:", banner=False) as db:
        parsed = read_bytes(b'{"id": "a"}\n\n' + line + b'\n{"id": "b"}', "rows.jsonl")
        plan = plan_import(db.items, parsed.records())
        assert (plan.inserts, plan.wrong, plan.faults[0].line) == (2, 1, 3)
        assert words in plan.faults[0].reason


def test_large_lines_are_refused_where_they_are() -> None:
    """Ensure that a row of a hundred megabytes is refused by its line in each format, at no more than a few copies."""
    big = b"x" * 100_000_000
    with Store("memory:", banner=False) as db:
        for data, name in (
            (b'{"id": "' + big + b'"}\n{"id": "b"}', "x.jsonl"),
            (b"id\n" + big[: 20 << 20] + b"\nb\n", "x.csv"),
        ):
            tracemalloc.start()
            plan = plan_import(db.items, read_bytes(data, name).records())
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert (plan.wrong, plan.inserts) == (1, 1)
            assert "longer than 16 MiB" in plan.faults[0].reason
            assert peak < 4 * len(data)


@pytest.mark.parametrize(
    "data",
    [b'"' * 400_000, b"a,b\n" + b'"",' * 300_000, b'{"a":' * 200_000, b"[1," * 200_000, b'[{"a":"' + b'\\"' * 400_000],
    ids=["quotes", "cells", "objects", "arrays", "escapes"],
)
@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl"])
def test_no_file_takes_long(data: bytes, name: str) -> None:
    """Ensure that what makes careless parsers slow is read or refused; the suite's own time limit would show it."""
    try:
        parsed = read_bytes(data, name)
    except UnreadableFile:
        return
    with Store("memory:", banner=False) as db:
        assert plan_import(db.items, parsed.records()).wrong > 0 or parsed.count == 0


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=max(30, settings().max_examples // 2))
@given(data=st.binary(max_size=200) | st.text(alphabet='[]{}",:\\0a1 \n\r;-.e', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(form: str, data: bytes) -> None:
    """Ensure that nothing but an error of this library comes out of any bytes, with or without sqlite's magic."""
    for one in (data, b"SQLite format 3\0" + data if form == "sqlite" else data):
        try:
            parsed = read_bytes(one, "file", form)
        except InterchangeError:
            continue
        with Store("memory:", banner=False) as db:
            for records in parsed.tables.values():
                plan_import(db.items, records)
            assert not len(db.items)  # planning writes nothing


def test_marks_of_utf8_are_skipped() -> None:
    """Ensure that the mark that Windows puts before UTF-8 is no part of the first name."""
    for text, name in (("id,text\n1,a\n", "x.csv"), ('[{"id": "1"}]', "x.json"), ('{"id": "1"}', "x.jsonl")):
        assert read_bytes(b"\xef\xbb\xbf" + text.encode(), name).columns()[0] == "id"


def test_formulas_stay_text() -> None:
    """Ensure that cells that a spreadsheet would run are taken as the text they are."""
    with Store("memory:", banner=False) as db:
        plan_import(db.items, read_bytes(b'id,text\n=1+1,"@SUM(A1)"\n-2,+3\n', "x.csv").records()).apply()
        assert [(item.id, item.text) for item in db.items] == [("=1+1", "@SUM(A1)"), ("-2", "+3")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(delimiter: str) -> None:
    """Ensure that the delimiter is told by the header."""
    text = f'id{delimiter}"te,xt;"\r\n1{delimiter}a\r2{delimiter}b\n3{delimiter}c{delimiter}d'
    parsed = read_bytes(text.encode(), "x.csv")
    assert parsed.columns() == ("id", "te,xt;")
    assert [record.fault is None for record in parsed.records()] == [True, True, False]


def test_what_is_no_file(tmp_path: Path) -> None:
    """Ensure that what isn't there, or is no file, is refused."""
    for path in (tmp_path, tmp_path / "none.json", Path("/dev/zero")):
        with pytest.raises(UnreadableFile):
            read_file(path)
    with pytest.raises(ValueError, match="'xml' is no format"):
        read_bytes(b"", format="xml")


def test_sqlite_with_changes_beside_it(tmp_path: Path) -> None:
    """Ensure that a sqlite file whose last changes are in its log is refused, not read without them."""
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.execute("CREATE TABLE t (id)")
    connection.commit()
    with pytest.raises(UnreadableFile, match="changes in x"):
        read_file(tmp_path / "x.db")
    connection.close()
    assert list(read_file(tmp_path / "x.db").tables) == ["t"]


def test_the_columns_of_a_file_take_time_in_proportion() -> None:
    """Ensure a file of very many columns is looked at, and its names compared with the fields, in such a time."""

    def header(count: int) -> bytes:
        """Return a file of columns alone."""
        return ",".join(f"c{number}" for number in range(count)).encode() + b"\n"

    assert_proportional(lambda data: read_bytes(data, "rows.csv"), header, 2_000)
    with Store("memory:") as db:
        schema = db.items.schema

        def names(count: int) -> tuple[str, ...]:
            """Return names that all seem to mean the field `id`."""
            signs = "!#$%&()*+-./:;<=>?@[]^_{|}~ "
            return tuple(islice(("i" + "".join(each) + "d" for each in product(signs, repeat=3)), count))

        assert_proportional(lambda columns: suggested_mapping(schema, columns), names, 2_000)


def _sqlite(path: Path, *statements: str) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path.read_bytes()


def test_nothing_of_a_sqlite_file_runs(tmp_path: Path) -> None:
    """Ensure a column that is worked out when it is read is left out: a few bytes of it could be a million a row."""
    made = "(printf('%.1000000c', 'x'))"
    data = _sqlite(
        tmp_path / "a.sqlite",
        f"CREATE TABLE items (id TEXT, text TEXT AS {made} VIRTUAL, kept AS (id) STORED)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
        "INSERT INTO items (id) SELECT i FROM n",
    )
    tracemalloc.start()
    try:
        records = read_bytes(data, "a.sqlite").records()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert (len(records), dict(records[0].values)) == (50, {"id": "1", "kept": "1"})


def test_the_rows_of_a_sqlite_file_are_no_larger_than_it(tmp_path: Path) -> None:
    """Ensure pages that are named again and again, which sqlite reads again and again, are refused."""
    data = bytearray(
        _sqlite(
            tmp_path / "a.sqlite",
            "PRAGMA page_size = 4096",
            "CREATE TABLE items (id INTEGER PRIMARY KEY, text TEXT)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) "
            "INSERT INTO items SELECT i, printf('%.20c', 'x') FROM n",
        )
    )
    assert len(read_bytes(bytes(data), "a.sqlite").records()) == 4_000
    root = 4096  # the second page: an inner one, whose cells are let all lead to the first leaf
    assert data[root] == 5
    cells = int.from_bytes(data[root + 3 : root + 5], "big")
    places = [int.from_bytes(data[root + 12 + 2 * n : root + 14 + 2 * n], "big") for n in range(cells)]
    leaf = data[root + places[0] : root + places[0] + 4]
    cell = bytes(leaf) + b"\x01"
    count = 600
    data[root + 3 : root + 5] = count.to_bytes(2, "big")
    data[root + 5 : root + 7] = (4096 - 5).to_bytes(2, "big")
    data[root + 4091 : root + 4096] = cell
    data[root + 12 : root + 12 + 2 * count] = (4091).to_bytes(2, "big") * count
    with pytest.raises(UnreadableFile):
        read_bytes(bytes(data), "a.sqlite")
