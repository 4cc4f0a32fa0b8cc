"""What a start builds all at once is what the same rows one by one would have built, and what a file says, no other."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from tests.snaptable.storage.support import SNAPSHOT, sealed, strictly

from snaptable import CorruptSnapshot, Database, ForeignKey, Index, OpenError, Row, Table, Unique, table
from snaptable.memory.indexes import hash_index
from snaptable.memory.indexes import sorted_rows as sorted_entries

MOMENTS = [
    None,
    datetime(2026, 1, 1),  # noqa: DTZ001 - a naive one among aware ones is the point
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
]


class Owner(Row):
    id: str
    name: str | None = None


class Thing(Row):
    id: str
    owner: Annotated[str | None, ForeignKey(Owner, on_delete="cascade")] = None
    group: Annotated[str | None, Index()] = None
    at: Annotated[datetime | None, Index(ordered=True)] = None
    rank: int = 0
    mark: Annotated[int | None, Unique()] = None
    tags: list[str] = Field(default_factory=list)
    notes: dict[str, Any] = Field(default_factory=dict)


class Things(Database):
    owners: Table[Owner]
    things: Table[Thing] = table(Index("group", "rank", ordered=True), Index("rank", ordered=True))


@contextmanager
def small_pieces() -> Iterator[None]:
    """Let few rows fill what thousands fill otherwise."""
    with (
        patch.object(hash_index, "LISTED", 2),
        patch.object(hash_index, "SAMPLE", 2),
        patch.object(sorted_entries, "CHUNK", 2),
    ):
        yield


def thing(number: int, chance: random.Random) -> Thing:
    """Return a thing whose values many others share."""
    return Thing(
        id=f'"{number}\\\n' if number % 5 == 0 else f"t{number}",
        owner=chance.choice([None, "a", "b"]),
        group=chance.choice([None, "x", "y", "z"]),
        at=chance.choice(MOMENTS),
        rank=chance.randint(-2, 2),
        mark=number if number % 2 else None,
        tags=chance.choice([[], ["p"], ["p", "q"]]),
        notes=chance.choice([{}, {"a": 1.5, "b": [None, True]}]),
    )


def answers(db: Things) -> list[Any]:
    """Return what every index has to say."""
    things = db.things
    answers: list[Any] = [things.where(group=group).all() for group in (None, "x", "y", "z")]
    answers += [things.where(owner=owner).all() for owner in (None, "a", "b")]
    answers += [things.where(group="x", rank=rank).all() for rank in range(-2, 3)]
    answers = [{row.id for row in rows} for rows in answers]
    answers += [[row.id for row in things.order_by(key).all()] for key in (Thing.at, Thing.rank, Thing.group)]
    return answers


@settings(max_examples=25)
@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_indexes_built_at_once_are_those_built_one_by_one(count: int, chance: random.Random) -> None:
    """Ensure equal answers before and after a restart, with ties, None and mixed times, and after changes to both."""
    with small_pieces(), TemporaryDirectory() as folder, Things("memory:") as model:
        model.owners.insert_many([Owner(id="a"), Owner(id="b")])
        model.things.insert_many([thing(number, chance) for number in range(count)])
        with Things(folder, fsync=False) as db:
            db.owners.insert_many(model.owners.all())
            db.things.insert_many(model.things.all())
        with Things(folder, fsync=False) as db:
            assert db.check() == []
            assert db.things.all() == model.things.all()
            assert answers(db) == answers(model)
            for number in range(12):
                row = thing(chance.randrange(count + 5), chance)
                for each in (db, model):
                    each.things.upsert(row) if number % 3 else each.things.where(id=row.id).delete()
                assert db.check() == []
            assert answers(db) == answers(model)
            assert [db.owners.delete("a"), model.owners.delete("a")] == [Owner(id="a")] * 2
            assert db.check() == []
            assert answers(db) == answers(model)


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=-5))])
@pytest.mark.parametrize("year", [1, 1697, 2242, 9999])
def test_times_far_away_are_sorted_by_the_microsecond(tmp_path: Path, year: int, zone: timezone | None) -> None:
    """Ensure an ordered index tells times apart after a restart that are one number as seconds of floating point."""
    times = [datetime(year, 6, 1, microsecond=number, tzinfo=zone) for number in range(1, 9)]
    with Things(tmp_path, fsync=False) as db:
        db.things.insert_many([Thing(id=f"t{9 - number}", at=at) for number, at in enumerate(times)])
    with Things(tmp_path, fsync=False) as db:
        assert db.check() == []
        assert [row.at for row in db.things.order_by(Thing.at).all()] == times


def test_equal_keys_are_one_text(tmp_path: Path) -> None:
    """Ensure a foreign key is the very text of the row it refers to after a restart: a long column costs no memory."""
    with Things(tmp_path, fsync=False) as db:
        db.owners.insert(Owner(id="an owner"))
        db.things.insert_many([Thing(id=str(number), owner="an owner") for number in range(3)])
    with Things(tmp_path, fsync=False) as db:
        (owner,) = db.owners.all()
        assert all(row.owner is owner.id for row in db.things)


@pytest.mark.parametrize("first", [0, 70, 199])
def test_a_key_that_stands_twice_far_apart_is_named_where_it_is_repeated(tmp_path: Path, first: int) -> None:
    """Ensure a line that is repeated some pages behind is refused, with the place of the second."""
    with Things(tmp_path, fsync=False) as db:
        db.things.insert_many([Thing(id=f"t{number}") for number in range(200)])
    lines = (tmp_path / SNAPSHOT).read_bytes().splitlines(keepends=True)
    begin = next(number for number, line in enumerate(lines) if line.startswith(b'"things"')) + 1
    lines.insert(begin + 200, lines[begin + first].removesuffix(b",\n").removesuffix(b"\n") + b"\n")
    lines[begin + 199] = lines[begin + 199].removesuffix(b"\n") + b",\n"
    (tmp_path / SNAPSHOT).write_bytes(sealed(b"".join(lines).replace(b'"things": 200', b'"things": 201')))
    with pytest.raises(CorruptSnapshot, match=f"'t{first}' stands twice") as raised:
        Things(tmp_path, fsync=False).open()
    assert raised.value.line in (begin + 201, begin + 200)
    assert raised.value.offset == len(b"".join(lines[: raised.value.line - 1]).replace(b": 200", b": 201"))


@settings(max_examples=40)
@given(st.data())
def test_a_changed_byte_is_refused_or_read_as_it_stands(data: st.DataObject) -> None:
    """Ensure that rows never say anything else than the file's JSON does, whatever byte was changed and sealed."""
    with TemporaryDirectory() as folder:
        with Things(folder, fsync=False) as db:
            db.owners.insert(Owner(id="a", name="Ada"))
            db.things.insert_many([thing(number, random.Random(number)) for number in range(6) if number % 5])
        path = Path(folder) / SNAPSHOT
        content = path.read_bytes()
        start, end = content.index(b'"owners": {\n'), content.rindex(b'"checksum": ')
        place = data.draw(st.integers(start, end - 1))
        byte = data.draw(st.sampled_from(b'{}[]",:\\\n 019aeAtfn-.\x00\xff'))
        path.write_bytes(sealed(content[:place] + bytes([byte]) + content[place + 1 :]))
        try:
            with Things(folder, read_only=True) as db:
                loaded = {name: {row.id: row for row in db.tables[name]} for name in ("owners", "things")}
                assert db.check() == []
        except OpenError:
            return
        plain = strictly(path.read_bytes().decode())
        for name, model in (("owners", Owner), ("things", Thing)):
            try:
                meant = {key: model.model_validate_json(json.dumps(row)) for key, row in plain[name].items()}
            except ValidationError as error:
                raise AssertionError("a row was loaded that its model refuses") from error
            assert loaded[name] == meant


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", '{"b":[NaN]}', "[" * 99 + "]" * 99, '{"b":' * 99 + "1" + "}" * 99]
)
def test_what_not_every_reader_accepts_is_refused(tmp_path: Path, value: str) -> None:
    """Ensure that an open field is loaded with nothing that a write refuses, sealed or not."""
    with Things(tmp_path, fsync=False) as db:
        db.things.insert(Thing(id="t", notes={"a": "here"}))
    path = tmp_path / SNAPSHOT
    path.write_bytes(sealed(path.read_bytes().replace(b'"here"', value.encode())))
    with pytest.raises(OpenError, match=r"things\[\S*t\S*\]"):
        Things(tmp_path).open()
