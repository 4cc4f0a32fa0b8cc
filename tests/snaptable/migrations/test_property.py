"""Random steps over random rows give what the same steps give over plain dictionaries, however the store is opened."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.snaptable.migrations.support import library, rows_in

from snaptable import Database
from snaptable.migrations import Migration, Step, add, drop, each, fill, rekey, rename, retype, run

Rows = list[dict[str, Any]]
Plain = Callable[[Rows], Rows]
NAMES = ["a", "b", "c", "d"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, -0.0, 1e300, "", "x", "ü\n", '"', "\u2028"]),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.sampled_from(["k", "l"]), st.integers(0, 2), max_size=2),
    st.sampled_from([[{"id": 1}], {"k": [{"id": 1}, {"id": 2}]}]),  # what looks like the beginning of a row
)
FUNCTIONS: list[Callable[[Any], Any]] = [str, repr, lambda value: [value], lambda value: {"was": value}, lambda _: None]


def fields_of(rows: Rows) -> set[str]:
    """Return the fields that any row has."""
    return {name for row in rows for name in row} - {"id"}


@st.composite
def steps(draw: st.DrawFn, rows: Rows) -> tuple[Step, Plain]:
    """Draw a step that can be carried out on some rows, and the same over plain dictionaries."""
    there = sorted(fields_of(rows))
    free = [name for name in NAMES if name not in there]
    kinds = ["fill", "delete", "double", "rekey", "run"]
    kinds += ["drop", "retype"] * bool(there) + ["add"] * bool(free) + ["rename"] * bool(there and free)
    kind, value = draw(st.sampled_from(kinds)), draw(VALUES)
    name = draw(st.sampled_from(NAMES if kind == "fill" else free if kind == "add" else there or NAMES))
    to, function = draw(st.sampled_from(free or NAMES)), draw(st.sampled_from(FUNCTIONS))
    bound = draw(st.integers(-1, 3))
    if kind in ("add", "fill", "drop", "rename", "retype"):
        return step_of_fields(kind, name, to, value, function)
    return step_of_rows(kind, bound, rows)


def step_of_fields(kind: str, name: str, to: str, value: Any, function: Callable[[Any], Any]) -> tuple[Step, Plain]:
    """Return a step that changes one field of every row, and the same over plain dictionaries."""
    match kind:
        case "add":
            return add(f"t.{name}", value), lambda rows: [{**row, name: value} for row in rows]
        case "fill":
            return fill(f"t.{name}", value), lambda rows: [
                {**row, name: value if row.get(name) is None else row[name]} for row in rows
            ]
        case "drop":
            return drop(f"t.{name}"), lambda rows: [{k: v for k, v in row.items() if k != name} for row in rows]
        case "rename":
            return rename(f"t.{name}", to=to), lambda rows: [
                {to if k == name else k: v for k, v in row.items()} for row in rows
            ]
        case _:
            return retype(f"t.{name}", using=function), lambda rows: [
                {k: function(v) if k == name and v is not None else v for k, v in row.items()} for row in rows
            ]


def step_of_rows(kind: str, bound: int, rows: Rows) -> tuple[Step, Plain]:
    """Return a step that deletes, doubles or changes whole rows, and the same over plain dictionaries."""
    match kind:
        case "delete":
            return each("t", lambda row: None if row["id"] > bound else row), lambda rows: [
                row for row in rows if row["id"] <= bound
            ]
        case "double":
            shift = 1 + max((row["id"] for row in rows), default=0) - min((row["id"] for row in rows), default=0)
            return each("t", lambda row: [row, {**row, "id": row["id"] + shift}]), lambda rows: [
                *rows,
                *({**row, "id": row["id"] + shift} for row in rows),
            ]
        case "rekey":
            return rekey("t", lambda row: row["id"] + bound), lambda rows: [
                {**row, "id": row["id"] + bound} for row in rows
            ]
        case _:

            def count(db: Any) -> None:
                for row in db["t"].values():
                    row["n"] = len(db["t"])

            return run(count), lambda rows: [{**row, "n": len(rows)} for row in rows]


def model_of(rows: Rows, migrations: list[Migration]) -> type[Database]:
    """Make a Database class whose rows have just these fields, of any type."""
    return library(migrations, t=dict.fromkeys(sorted(fields_of(rows)), (Any, None)))


def completed(rows: Rows) -> dict[int, dict[str, Any]]:
    """Return rows by key, with None where one lacks a field that another has."""
    return {row["id"]: {**dict.fromkeys(fields_of(rows)), **row} for row in rows}


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_steps_over_random_rows(tmp_path_factory: Any, data: st.DataObject) -> None:
    """At once or in two openings; after a clean close, a kill, or out of the journal; and then nothing more changes."""
    directory: Path = tmp_path_factory.mktemp("steps") / "s"
    names = data.draw(st.lists(st.sampled_from(NAMES[:3]), unique=True, max_size=3))
    rows: Rows = [
        {"id": key, **{name: data.draw(VALUES) for name in names}} for key in range(data.draw(st.integers(0, 4)))
    ]
    db = library(t=dict.fromkeys(names, (Any, ...)))(directory, banner=False, fsync=False).open()
    for row in rows:
        db.tables["t"].create(**row)
    way = data.draw(st.sampled_from(["closed", "killed", "journal"]))
    if way == "closed":
        db.close()
    else:
        directory = Path(shutil.copytree(directory, directory.with_name("copy")))
        db.close()
        if way == "journal":
            (directory / "db_snapshot.json").unlink()
    before, migrations, expected = {str(row["id"]): row for row in rows}, list[Migration](), rows
    for number in range(data.draw(st.integers(1, 4))):
        made = []
        for _ in range(data.draw(st.integers(1, 2))):
            step, plainly = data.draw(steps(expected))
            expected = plainly(expected)
            made.append(step)
        migrations.append(Migration(f"migration {number}", *made))
        if data.draw(st.booleans()):
            expected = list(completed(expected).values())
            rows_in(directory, model_of(expected, migrations))
    new = model_of(expected, migrations)
    found = {row["id"]: row for row in rows_in(directory, new)["t"]}
    assert found == completed(expected)
    assert {key: list(map(repr, map(row.get, sorted(row)))) for key, row in found.items()} == {
        key: list(map(repr, map(row.get, sorted(row)))) for key, row in completed(expected).items()
    }
    with new(directory, banner=False, fsync=False, migrate="manual") as again:
        sequence = again.history.sequence
        assert {row["id"]: row for row in map(dict, again.tables["t"])} == found
        with again.history.at(len(rows)) as past:
            assert past.raw("t") == before
    with new(directory, banner=False, fsync=False) as again:
        assert again.history.sequence == sequence
