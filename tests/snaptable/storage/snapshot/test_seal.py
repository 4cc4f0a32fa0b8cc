"""The seal spares a start the proof that lines are as they would be written, never their validation, and only ours."""

import json
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, StringConstraints, create_model
from tests.snaptable.storage.support import SNAPSHOT, sealed
from tests.snaptable.storage.test_bulk_loading import Owner, Thing, Things, thing

from snaptable import Database, OpenError, Row, Table
from snaptable.codec import Codec
from snaptable.memory import page_decoder
from snaptable.memory.spelling import speller_of

Seal = dict[str, str]


def header_and_rest(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a snapshot, and what follows it up to the checksum."""
    start, end = len(b'{\n"snaptable": '), data.index(b"\n", 2 + len(b'"snaptable"')) - 1
    return json.loads(data[start:end]), data[end : data.rindex(b'"checksum": ')]


def with_seal(data: bytes, seal: object) -> bytes:
    """Return a snapshot with another seal, or None for none, and the checksum made right."""
    header, rest = header_and_rest(data)
    header.pop("seal", None)
    header |= {} if seal is None else {"seal": seal}
    return sealed(b'{\n"snaptable": ' + json.dumps(header).encode() + rest + b'"checksum": "')


def forged(data: bytes) -> bytes:
    """Return a snapshot whose seal was made to fit its rows, as only whoever means harm would."""
    header, rest = header_and_rest(data)
    return with_seal(data, {"by": header["seal"]["by"], "rows": f"{zlib.crc32(rest):08x}"})


def filled(folder: Path) -> bytes:
    """Make a store, and return its snapshot."""
    with Things(folder, fsync=False) as db:
        db.owners.insert(Owner(id="a", name="Ada"))
        db.owners.insert(Owner(id="b"))
        db.things.insert_many([thing(number, random.Random(number)) for number in range(1, 8)])
    return (folder / SNAPSHOT).read_bytes()


def outcome(folder: Path, data: bytes) -> object:
    """Return the rows that a start gives, in order, or the class of the error and what it says."""
    (folder / SNAPSHOT).write_bytes(data)
    try:
        with Things(folder, read_only=True) as db:
            assert db.check() == []
            return {name: [(row.id, row.model_dump_json()) for row in table] for name, table in db.tables.items()}
    except OpenError as error:
        return type(error), str(error).partition("byte")[0]


class Compared:
    """Counts the pages that are encoded again and compared."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 0
        encode = page_decoder.PageDecoder._encode

        def counting(decoder: Any, keys: Any, rows: Any) -> bytes:
            self.pages += 1
            return encode(decoder, keys, rows)

        monkeypatch.setattr(page_decoder.PageDecoder, "_encode", counting)


def test_what_was_written_by_this_code_is_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a sealed file is read without the proof, and the same file without a seal with it, to equal rows."""
    data = filled(tmp_path)
    compared = Compared(monkeypatch)
    rows = outcome(tmp_path, data)
    assert compared.pages == 0
    assert isinstance(rows, dict)
    assert outcome(tmp_path, with_seal(data, None)) == rows
    assert compared.pages == 2


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a snapshot as it was written."""
    return filled(tmp_path_factory.mktemp("written"))


@settings(max_examples=20, deadline=None)
@given(draw=st.data())
def test_a_seal_left_in_place_hides_no_edit(written: bytes, draw: st.DataObject) -> None:
    """Ensure that a file edited anywhere, its checksum made right, is taken as if it had never been sealed."""
    with TemporaryDirectory() as folder:
        data = written
        start, end = data.index(b'"owners": {\n'), data.rindex(b'"checksum": ')
        place = draw.draw(st.integers(start, end - 1))
        cut = draw.draw(st.integers(0, 3))
        put = draw.draw(
            st.sampled_from([b"", b" ", b"1", b'"', b",", b"NaN", b"\\u0041", b"1.0", b'"id":"x",', b"}", b"e"])
        )
        edited = sealed(data[:place] + put + data[min(place + cut, end) :])
        assert outcome(Path(folder), edited) == outcome(Path(folder), with_seal(edited, None))


@pytest.mark.parametrize(
    "change",
    [
        lambda seal: {**seal, "by": "0" * 32},
        lambda seal: {**seal, "rows": "00000000"},
        lambda seal: {"by": seal["by"]},
        lambda seal: {**seal, "more": "1"},
        lambda seal: {"by": [], "rows": seal["rows"]},
        lambda _: {},
        lambda _: [],
        lambda _: 7,
        lambda _: "by",
    ],
)
def test_a_seal_that_is_none_is_no_fault(
    tmp_path: Path, change: Callable[[Seal], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a seal of another code, or one that makes no sense, only costs the proof."""
    data = filled(tmp_path)
    rows, compared = outcome(tmp_path, data), Compared(monkeypatch)
    seal: Seal = header_and_rest(data)[0]["seal"]
    assert outcome(tmp_path, with_seal(data, change(seal))) == rows
    assert compared.pages == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"rank":', b'"rank":"x","more":'),
        (b'"tags":[', b'"tags":[7,'),
        (b'"t2": {"id":"t2"', b'"t2": {"id":"t3"'),
        (b'"t2": {"id":"t2"', b'"t3": {"id":"t3"'),
        (b'"owner":null', b'"owner":"nobody"'),
        (b'"name":"Ada"', b'"name":7'),
    ],
)
def test_a_forged_seal_gets_nothing_past_validation(tmp_path: Path, old: bytes, new: bytes) -> None:
    """Ensure that types, keys, references and unique values are checked, whatever the seal says."""
    data = filled(tmp_path)
    assert old in data
    assert outcome(tmp_path, forged(data)) == outcome(tmp_path, data)
    refused = outcome(tmp_path, forged(data.replace(old, new)))
    assert isinstance(refused, tuple), refused
    assert refused == outcome(tmp_path, with_seal(data.replace(old, new), None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b',\n"t2": ', b',"t2": '),
        (b',\n"t2": ', b'\n,"t2": '),
        (b',\n"t2": ', b',\n\n"t2": '),
        (b',\n"t2": ', b',\r\n"t2": '),
        (b',\n"t2": {', b',"t2": {\n'),
        (b'{"id":"t2",', b'{"id":"t2",\n'),
        (b'{"id":"t2",', b'{\n"id":"t2",'),
    ],
)
def test_a_forged_seal_makes_no_other_rows_of_other_lines(tmp_path: Path, old: bytes, new: bytes) -> None:
    """Ensure that lines broken elsewhere are refused, or are the rows they were: none is lost, and none another."""
    data = filled(tmp_path)
    assert data.count(old) == 1
    edited = outcome(tmp_path, forged(data.replace(old, new)))
    assert isinstance(edited, tuple) or edited == outcome(tmp_path, data)


@pytest.mark.parametrize("count", [7, 8])
def test_a_forged_seal_hides_no_key_that_stands_twice(tmp_path: Path, count: int) -> None:
    """Ensure that a line that stands twice is refused, whichever count the header gives."""
    data = filled(tmp_path)
    line = data[(start := data.index(b'"t2": ')) : data.index(b",\n", start) + 2]
    edited = data.replace(line, line + line).replace(b'"things": 7}', b'"things": %d}' % count)
    assert edited.count(b'"t2": ') == 2
    refused = outcome(tmp_path, forged(edited))
    assert isinstance(refused, tuple), refused
    assert refused == outcome(tmp_path, with_seal(edited, None))


def test_a_file_of_before_gets_its_seal_with_the_next_snapshot(tmp_path: Path) -> None:
    """Ensure that reading changes nothing, and that what is written next is sealed."""
    data = with_seal(filled(tmp_path), None)
    (tmp_path / SNAPSHOT).write_bytes(data)
    with Things(tmp_path, fsync=False):
        pass
    assert (tmp_path / SNAPSHOT).read_bytes() == data
    with Things(tmp_path, fsync=False) as db:
        db.things.insert(Thing(id="new"))
    header, rest = header_and_rest((tmp_path / SNAPSHOT).read_bytes())
    assert header["seal"]["rows"] == f"{zlib.crc32(rest):08x}"


# ── what a speller is ───────────────────────────────────────────────────────────────────────────────────────────────


class Colour(Enum):
    RED = "red"


def other_colours() -> Any:
    """Return an enum that differs from `Colour` by a value only."""
    return Enum("Colour", {"RED": "crimson"}, module=__name__, qualname="Colour")


CRIMSON = other_colours()


def speller(_name: str = "Item", _config: ConfigDict | None = None, **fields: Any) -> str:
    """Return what spells the rows of a model of these fields."""
    base = Row if _config is None else type("Base", (Row,), {"model_config": _config, "__module__": __name__})
    model: Any = create_model(_name, __base__=base, id=str, **fields)
    store: type[Database] = type("Store", (Database,), {"__annotations__": {"items": Table[model]}})
    return speller_of({name: Codec(schema) for name, schema in store.__schemas__.items()})


OTHERS: dict[str, Callable[[], str]] = {
    "as it is": lambda: speller(a=(int, 1), b=(str, "")),
    "another order": lambda: speller(b=(str, ""), a=(int, 1)),
    "another name": lambda: speller(a=(int, 1), c=(str, "")),
    "a field more": lambda: speller(a=(int, 1), b=(str, ""), c=(int, 0)),
    "a field less": lambda: speller(a=(int, 1)),
    "float for int": lambda: speller(a=(float, 1.0), b=(str, "")),
    "None too": lambda: speller(a=(int | None, 1), b=(str, "")),
    "a literal": lambda: speller(a=(int, 1), b=(Literal["", "x"], "")),
    "another literal": lambda: speller(a=(int, 1), b=(Literal["", "y"], "")),
    "an enum": lambda: speller(a=(int, 1), b=(Colour, Colour.RED)),
    "an enum of that name": lambda: speller(a=(int, 1), b=(CRIMSON, CRIMSON.RED)),
    "stripped": lambda: speller(a=(int, 1), b=(Annotated[str, StringConstraints(strip_whitespace=True)], "")),
    "short in a list": lambda: speller(a=(int, 1), b=(list[Annotated[str, Field(max_length=3)]], [])),
    "a list": lambda: speller(a=(int, 1), b=(list[str], [])),
    "a time": lambda: speller(a=(int, 1), b=(datetime | None, None)),
    "read by alias": lambda: speller(a=(int, 1), b=(Annotated[str, Field(alias="bee")], "")),
    "configured": lambda: speller(_config=ConfigDict(title="Thing"), a=(int, 1), b=(str, "")),
}


def test_whatever_changes_the_spelling_is_another_speller() -> None:
    """Ensure that models that write or read otherwise believe none of each other's seals."""
    spellers = {name: make() for name, make in OTHERS.items()}
    assert len(set(spellers.values())) == len(spellers), spellers


def test_the_same_models_are_the_same_speller_in_every_process() -> None:
    """Ensure that a seal holds for the next process, whatever it hashes by, and for a class that is defined again."""
    code = "from tests.snaptable.storage.snapshot.test_seal import *; print([make() for make in OTHERS.values()])"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1] == f"{[make() for make in OTHERS.values()]}\n"
