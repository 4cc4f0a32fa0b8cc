"""Sets have one order in files, whatever order the process gives their items in: an equal row is the same line."""

# ruff: noqa: RUF012 - Pydantic copies defaults

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, PlainSerializer, RootModel
from typing_extensions import TypedDict

from snaptable import Database, Row, Table
from snaptable.codec import Codec
from snaptable.codec.set_order import serializer_of
from snaptable.storage.disk.names import SNAPSHOT

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Tags(BaseModel):
    model_config = ConfigDict(frozen=True)
    names: frozenset[str] = frozenset()


class Box(BaseModel, Generic[T]):
    held: set[T]


class Held(BaseModel):
    tags: Tags  # holds sets only further inside


@dataclass(frozen=True)
class Point:
    of: frozenset[str]


class Named(TypedDict):
    of: set[str]


class Pair(NamedTuple):
    of: frozenset[str]
    number: int


class Numbers(RootModel[set[int]]):
    """A set by itself."""


def turned_round(items: AbstractSet[int]) -> list[int]:
    """Return items as a serializer of the model's own has them."""
    return sorted(items, reverse=True)


class Bag(Row):
    id: int
    numbers: set[int] = set()
    texts: set[str] = set()
    either: set[int | str] = set()
    reals: frozenset[float] = frozenset()
    days: set[date] = set()
    colours: set[Colour] = set()
    uids: set[UUID] | None = None
    prices: set[Decimal] = set()
    blobs: set[bytes] = set()
    listed: set[int] | list[int] = []
    lists: list[int] | set[str] = []
    models: set[Tags] = set()
    nested: frozenset[frozenset[int]] = frozenset()
    pairs: set[tuple[int, str]] = set()
    by_name: dict[str, set[str]] = {}
    tags: Tags = Tags()
    held: Held | None = None
    box: Box[str] | None = None
    point: Point | None = None
    named: Named | None = None
    pair: Pair | None = None
    root: Numbers | None = None
    own: Annotated[set[int], PlainSerializer(turned_round)] = set()
    inside: "list[Bag]" = []


class Bags(Database):
    bags: Table[Bag]


class Plain(Row):
    id: int
    listed: list[int] = []


texts = st.frozensets(st.text(max_size=3), max_size=5)
numbers = st.frozensets(st.integers(-5, 200), max_size=5)
bags = st.fixed_dictionaries(
    {"id": st.integers(0, 9)},
    optional={
        "numbers": numbers,
        "texts": texts,
        "either": st.frozensets(st.integers(0, 50) | st.text(max_size=2), max_size=5),
        "reals": st.frozensets(st.floats(allow_nan=False, allow_infinity=False), max_size=4),
        "days": st.frozensets(st.dates(), max_size=4),
        "colours": st.frozensets(st.sampled_from(Colour), max_size=2),
        "uids": st.none() | st.frozensets(st.uuids(), max_size=3),
        "prices": st.frozensets(st.decimals(allow_nan=False, allow_infinity=False, places=2), max_size=3),
        "blobs": st.frozensets(st.binary(max_size=3), max_size=3),
        "listed": st.lists(st.integers(0, 50), max_size=4),
        "lists": st.frozensets(st.text(min_size=1, max_size=3), min_size=1)
        | st.lists(st.integers(0, 50), min_size=1, max_size=4),
        "models": st.frozensets(st.builds(Tags, names=texts), max_size=3),
        "nested": st.frozensets(numbers, max_size=3),
        "pairs": st.frozensets(st.tuples(st.integers(0, 3), st.text(max_size=1)), max_size=4),
        "by_name": st.dictionaries(st.text(max_size=2), texts, max_size=2),
        "tags": st.builds(Tags, names=texts),
        "held": st.builds(Held, tags=st.builds(Tags, names=texts)),
        "box": texts.map(lambda held: Box[str](held=set(held))),
        "point": st.builds(Point, texts),
        "named": texts.map(lambda of: {"of": set(of)}),
        "pair": st.builds(Pair, texts, st.integers(0, 3)),
        "root": numbers.map(lambda root: Numbers(set(root))),
        "own": numbers,
    },
)
PLAIN_LISTS = ("listed", "lists", "inside", "own", "pairs", "pair")
"""Fields whose lists are lists of rows, of items, or in an order of their own."""


def rewritten(value: Any, order: Callable[[Sequence[Any]], list[Any]]) -> Any:
    """Return a value with the items of each set inserted in another order."""
    if isinstance(value, (set, frozenset)):
        return type(value)(order([rewritten(item, order) for item in value]))
    if isinstance(value, dict):
        return {name: rewritten(item, order) for name, item in value.items()}
    if isinstance(value, BaseModel) and not isinstance(value, RootModel):
        return type(value)(**{name: rewritten(getattr(value, name), order) for name in type(value).model_fields})
    return value


def assert_sorted(value: Any) -> None:
    """Check that the list of a set is in order: numbers by value, texts by code point, others by their JSON."""
    if isinstance(value, dict):
        for item in value.values():
            assert_sorted(item)
    elif isinstance(value, list):
        kinds = {type(item) for item in value}
        plain = kinds <= {str} or kinds <= {int}
        assert value == sorted(value, key=None if plain else lambda item: json.dumps(item, ensure_ascii=False))


@given(values=bags)
def test_equal_rows_are_equal_bytes(values: dict[str, Any]) -> None:
    """Ensure equal rows are written alike, however their sets were made, one by one and by the page, and come back."""
    codec = Codec(Bags.__schemas__["bags"])
    row, data = codec.create(values)
    for order in (list, lambda items: list(reversed(items)), lambda items: sorted(items, key=repr)):
        again, same = codec.create(rewritten(values, order))
        assert same == data
        assert codec.is_same_row(row, again, same)
    assert codec.dump_all([row, row]) == b"[%b,%b]" % (data, data)
    assert codec.decode(data) == row
    written = json.loads(data)
    as_pydantic_has_it = json.loads(row.__pydantic_serializer__.to_json(row, round_trip=True, by_alias=False))
    assert codec.is_written_alike("inside", written["numbers"], as_pydantic_has_it["numbers"])
    assert_sorted({name: value for name, value in written.items() if name not in PLAIN_LISTS})
    for name in ("listed", "lists", "own"):
        value = getattr(row, name)
        items = turned_round(value) if name == "own" else sorted(value) if isinstance(value, set) else value
        assert written[name] == items


def test_models_without_sets_have_their_own_serializer() -> None:
    """Ensure rows without sets cost nothing for it, and that a model is complete after its serializer was made."""
    assert serializer_of(Plain) is Plain.__pydantic_serializer__
    assert serializer_of(Bag) is not Bag.__pydantic_serializer__
    assert Bag.__pydantic_complete__
    assert Tags.__pydantic_complete__
    assert Bag(id=1, numbers={3, 1}).model_dump()["numbers"] == {1, 3}


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests.snaptable.values.test_set_order import Bag, Bags, Tags, Held, Point

with Bags(sys.argv[1], banner=False, fsync=False) as db:
    if db.bags.count() == 0:
        names = [f"name {number}" for number in range(20)]
        db.bags.insert_many(
            Bag(id=key, texts=set(names), tags=Tags(names=frozenset(names)), held=Held(tags={"names": names}),
                by_name={"of": set(names)}, point=Point(frozenset(names)), inside=[Bag(id=0, texts=set(names))])
            for key in (1, 2)
        )
    else:
        assert db.check() == []
        # Both are written anew: one as it is, one with another number, which changes that alone.
        assert db.bags.replace(db.bags[1]) == db.bags[1]
        db.bags.update(2, numbers={7, 15, 23})
"""


def run(directory: Path, seed: int) -> list[str]:
    """Open the store in a process with another seed, and return the lines of its rows."""
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    arguments = [sys.executable, "-c", CHILD, str(directory), str(root), str(root / "backend")]
    subprocess.run(arguments, check=True, env=environment, timeout=60)
    return [line.rstrip(",") for line in (directory / SNAPSHOT).read_text("utf-8").splitlines() if '{"id":' in line]


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """Ensure the lines of rows stay as they are when a process with another hash seed writes them, and the file too."""
    first = run(tmp_path / "data", seed=1)
    second = run(tmp_path / "data", seed=2)
    assert second[0] == first[0]
    assert second[1] == first[1].replace('"numbers":[]', '"numbers":[7,15,23]', 1)
    assert run(tmp_path / "data", seed=3) == second


def test_a_file_in_another_order_is_read_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a file with sets in another order opens, has no problem, fills nothing in, and stays as it is."""
    turned = tmp_path / "data"
    with monkeypatch.context() as patched:
        patched.setattr("snaptable.codec.set_order._SETS", ())  # as before sets had an order
        patched.setattr("snaptable.memory.spelling.SPELLING", 1)
        with Bags(turned, banner=False, fsync=False) as db:
            db.bags.insert_many(Bag(id=key, texts={"a", "b", "c", "dd", "ee"}, numbers={7, 15, 23}) for key in (1, 2))
    before = (turned / SNAPSHOT).read_bytes()
    with Bags(turned, banner=False, fsync=False) as db:
        assert db.check() == []
        assert db.history.sequence == 1
        assert db.bags.replace(Bag(id=1, texts={"a", "b", "c", "dd", "ee"}, numbers={23, 15, 7})) == db.bags[1]
        assert db.history.sequence == 1
    assert (turned / SNAPSHOT).read_bytes() == before
    with Bags(turned, banner=False, fsync=False) as db:
        db.bags.update(1, id=1, numbers={1})
        assert db.history.sequence == 2
        assert db.history.diff(1).counts == {"bags": {"insert": 0, "replace": 1, "delete": 0}}
        assert db.history.diff(1).first(1)[0].changed == ("numbers",)
