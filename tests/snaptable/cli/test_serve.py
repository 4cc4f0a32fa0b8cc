"""`snaptable serve`: what is inferred of a file, that the file stays as it is, and that what is served works."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.snaptable.cli.library import Library
from tests.snaptable.cli.support import ROOT, command

from snaptable import Database
from snaptable.cli.served.application import application
from snaptable.cli.served.inference import Inferred, InferredTable, infer
from snaptable.cli.served.models_text import models_of, models_text
from snaptable.cli.served.taking_over import TakenOver, fill, take_over
from snaptable.interchange import read_bytes

EXAMPLES = ROOT / "backend/demos/examples"


def inferred(data: object) -> Inferred:
    """Return what is inferred of the file that holds some JSON."""
    return infer(read_bytes(json.dumps(data).encode(), "db.json"))


def one(data: object, name: str) -> InferredTable:
    """Return one table of it."""
    return next(table for table in inferred(data).tables if table.name == name)


def served(taken: TakenOver) -> TestClient:
    """Return a client of what would be served."""
    db = taken.models(taken.store, banner=False, fsync=False)
    with db:
        fill(db, taken.inferred.tables, taken.file)
    app, _ = application(db, title="test", hosts=["testserver"], admin=False)
    return TestClient(app, raise_server_exceptions=False)


# ── what is inferred ────────────────────────────────────────────────────────────────────────────────────────────────


def test_keys() -> None:
    """Ensure a key is a field of a usual name that tells every row apart; else the map's, else a number."""
    assert one({"a": [{"id": 1}, {"id": 2}]}, "a").is_numbered
    assert not one({"a": [{"id": "1"}, {"id": "2"}]}, "a").is_numbered
    assert one({"a": [{"id": 1}, {"id": 1}]}, "a").key is None
    assert one({"a": [{"id": 1}, {"id": "1"}]}, "a").key is None
    assert one({"a": [{"id": 1}, {"x": 1}]}, "a").key is None
    assert one({"a": [{"sku": "x", "n": 1}, {"sku": "y", "n": 1}]}, "a").key == "sku"
    in_map = one({"a": {"x": {"n": 1}, "y": {"n": 2}}}, "a")
    assert (in_map.key, in_map.is_numbered) == (None, False)


def test_a_field_that_is_called_as_a_type_hides_none(tmp_path: Path) -> None:
    """Ensure rows are served whose fields have the names that types are written with, and may be missing."""
    names = ("date", "datetime", "str", "int", "float", "bool", "tuple", "Annotated", "ForeignKey", "Unique")
    there = {"date": "2026-01-02", "datetime": "2026-01-02T10:00:00Z", "str": "a", "int": 1, "float": 1.5,
             "bool": True, "tuple": ["a"]}  # fmt: skip
    last = dict(zip("abcdefg", there.values(), strict=True))
    rows = [{"id": 1, **dict.fromkeys(names, "x"), **there}, {"id": 2, "user_id": 1, "slug": "x", **last}, {"id": 3}]
    (tmp_path / "db.json").write_text(json.dumps({"users": [{"id": 1}], "annotated": rows}))
    with served(take_over(str(tmp_path / "db.json"), None)) as client:
        first, second, _ = client.get("/annotated").json()["items"]
    assert {name: first[f"{name}_"] for name in there} == there
    assert {name: second[name] for name in last} == last


def test_what_is_no_key_is_no_reference() -> None:
    """Ensure a field with the name of a reference that holds a list or an object stays what it is."""
    users = [{"id": 1}]
    for value, kind in (([1], "tuple[int, ...]"), ({"id": 1}, "dict[str, Any]")):
        table = one({"users": users, "a": [{"id": 1, "user_id": value}]}, "a")
        assert [(each.kind, each.target) for each in table.fields if each.name == "user_id"] == [(kind, None)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "int"), ([1, 2.5], "float"), ([True, False], "bool"), ([1, True], "Any"), (["a", "b"], "str"),
        (["2026-01-02", "2026-01-03"], "date"), (["2026-01-02", "soon"], "str"), (["2026-02-30", "2026-01-01"], "str"),
        (["2026-01-02T10:00:00Z", "2026-01-02T10:00:00.5+01:00"], "datetime"),
        (["2026-01-02T10:00:00Z", "2026-01-02T10:00:00"], "str"), ([["a"], []], "tuple[str, ...]"),
        ([[1], ["a"]], "list[Any]"), ([{"a": 1}, {}], "dict[str, Any]"), ([None, None], "Any"), ([1, "a"], "Any"),
        (["01234", "99999"], "str"),
    ],
)  # fmt: skip
def test_types(values: list[object], kind: str) -> None:
    """Ensure each type is one that every value has, and texts of digits stay texts."""
    table = one({"a": [{"id": n, "v": value} for n, value in enumerate(values)]}, "a")
    assert table.fields[1].kind == kind
    assert table.fields[1].is_optional == (None in values)


def test_references_and_uniques() -> None:
    """Ensure references by user_id and userId that every value bears out, and uniques by name and by value."""
    users = [{"id": 1, "email": "a", "name": "x"}, {"id": 2, "email": "b", "name": "y"}]
    posts = [{"id": 1, "userId": 1, "user_id": 9, "category_id": 1}, {"id": 2, "userId": None, "user_id": 1}]
    result = inferred({"posts": posts, "users": users, "categories": [{"id": 1}]})
    fields = {each.name: each for each in result.tables[0].fields}
    assert (fields["userId"].target, fields["user_id"].target, fields["category_id"].target) == (
        "users",
        None,
        "categories",
    )
    assert any("posts.user_id looks like a reference to users" in note and "(9)" in note for note in result.notes)
    assert [each.name for each in result.tables[1].fields if each.is_unique] == ["email"]
    assert not any(
        each.is_unique for each in one({"a": [{"id": 1, "email": "x"}, {"id": 2, "email": "x"}]}, "a").fields
    )


def test_names_that_are_none() -> None:
    """Ensure names that Python, Pydantic or the library can't have are changed, and that is said."""
    rows = [
        {"id": 1, "first name": "x", "class": 1, "_v": 2, "model_config": 3, "copy": 4, "2nd": 5, "first_name": "y"}
    ]
    result = inferred({"open": rows, "my-posts": [{"id": 1}], "tables": [{"id": 1}]})
    assert [table.name for table in result.tables] == ["open_", "my_posts", "tables_"]
    assert len({each.name for each in result.tables[0].fields}) == 8
    models = models_of(models_text(result.tables, "db.json", "Served"), "Served")
    assert list(models.__schemas__) == ["open_", "my_posts", "tables_"]
    assert any('"first name" is called first_name' in note for note in result.notes)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e6, 1e6) | st.text(max_size=5)
    | st.sampled_from(["2026-01-02", "2026-01-02T10:00:00Z", "", "1", "null"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
TABLES = st.dictionaries(
    NAMES, st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), min_size=1, max_size=4), max_size=3
)


@given(TABLES)
@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_whatever_a_file_holds_is_taken_over(tables: dict[str, list[dict[str, Any]]]) -> None:
    """Ensure the models of any rows are valid Python which takes each of these rows, and loses none."""
    result = inferred(tables)
    models = models_of(models_text(result.tables, "db.json", "Served"), "Served")
    with models("memory:", banner=False) as db:
        count = fill(db, result.tables, Path("db.json"))
        assert count == sum(len(table.records) for table in result.tables)
        assert db.check() == []


# ── what is served ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["jsonplaceholder-like", "shop"])
def test_the_examples(name: str, tmp_path: Path) -> None:
    """Ensure each example file is served: lists, filters, relations, a write, its undo; and stays as it is."""
    file = tmp_path / f"{name}.json"
    file.write_bytes((EXAMPLES / f"{name}.json").read_bytes())
    taken = take_over(str(file), None)
    assert taken.store == tmp_path / f"{name}-data"
    with served(taken) as client:
        assert client.get("/").text.count("<li>") >= len(taken.inferred.tables) + 3
        for table in taken.inferred.tables:
            told = client.get(f"/{table.name}", params={"limit": 200, "count": "exact"}).json()
            assert told["total"] == len(table.records)
        assert client.get("/openapi.json").status_code == 200
        assert client.get("/health").json()["status"] == "ok"
    assert file.read_bytes() == (EXAMPLES / f"{name}.json").read_bytes()
    assert not take_over(str(file), None).is_new


def test_rest_as_json_server_has_it(tmp_path: Path) -> None:
    """Ensure a front end's first requests work: filter by any field, embed, create, change, delete, look back."""
    (tmp_path / "db.json").write_bytes((EXAMPLES / "jsonplaceholder-like.json").read_bytes())
    with served(take_over(str(tmp_path / "db.json"), None)) as client:
        found = client.get("/posts", params={"userId": 1, "limit": 1, "expand": "comments"}).json()["items"][0]
        assert len(found["comments"]["items"]) == 3
        assert client.get("/users", params={"address": "x"}).status_code == 422
        made = client.post("/todos", json={"userId": 1, "title": "new", "completed": False})
        assert (made.status_code, made.json()["id"]) == (201, 51)
        assert client.patch("/todos/51", json={"completed": True}).json()["completed"] is True
        assert len(client.get("/todos/51/history").json()["items"]) == 2
        assert client.delete("/users/1").status_code == 409
        assert client.post("/users", json={"name": "x", "email": "ada@example.org", "username": "z"}).status_code in (
            409,
            422,
        )
        assert client.post("/todos", json={"userId": 99, "title": "x", "completed": False}).status_code == 409
        assert client.get("/todos", params={"at": 1, "count": "exact"}).json()["total"] == 50


def test_pages_of_other_sites_write_nothing(tmp_path: Path) -> None:
    """Ensure a foreign page may not write, and no foreign name leads here; one of this machine may do both."""
    (tmp_path / "db.json").write_text('{"notes": [{"id": 1, "text": "a"}]}')
    with served(take_over(str(tmp_path / "db.json"), None)) as client:
        for origin, status in (
            ("https://evil.example", 403),
            ("null", 403),
            ("http://localhost.evil.example", 403),
            ("http://localhost:3000", 201),
        ):
            assert client.post("/notes", json={"text": "b"}, headers={"Origin": origin}).status_code == status
        allowed = client.get("/notes", headers={"Origin": "http://localhost:3000"}).headers
        assert allowed["access-control-allow-origin"] == "http://localhost:3000"
        assert (
            "access-control-allow-origin"
            not in client.get("/notes", headers={"Origin": "https://evil.example"}).headers
        )
        assert client.get("/notes", headers={"Host": "evil.example"}).status_code == 400


def test_secrets_and_tables_without_a_past_are_served_as_they_should(tmp_path: Path) -> None:
    """Ensure a class's own tables: no secret in any answer, no history of what has none."""
    db = Library(tmp_path / "data", banner=False, fsync=False)
    app, _ = application(db, title="Library", hosts=["testserver"], admin=False)
    with TestClient(app) as client:
        client.post("/users", json={"id": "ann", "email": "a@x.org", "password_hash": "hush"})
        assert "hush" not in client.get("/users").text + client.get("/users/ann/history").text
        assert client.post("/sessions", json={"id": "s"}).status_code == 201
        assert client.get("/sessions/s/history").status_code == 404


# ── the command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_called_wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure what can't be served is exit 2 or 1 with a reason, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert command("serve", "nowhere.json").says("nowhere.json").status == 2
    assert command("serve", "nowhere").says("neither a file that is there nor MODULE:CLASS").status == 2
    assert command("serve", "nowhere:Class").says("serve nowhere:Class").status == 2
    Path("empty.json").write_text('{"version": 1}')
    assert command("serve", "empty.json").status in (1, 2)
    Path("broken.json").write_text('{"users": [')
    assert command("serve", "broken.json").says("broken.json").status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "empty.json"]


def test_five_minutes_with_a_file(tmp_path: Path) -> None:
    """Ensure the command as a whole: it says what it inferred and where it is, takes writes by its socket, restarts."""
    (tmp_path / "db.json").write_bytes((EXAMPLES / "shop.json").read_bytes())
    line = [sys.executable, "-m", "snaptable", "serve", "db.json", "--port", "0", "--save-models", "shop_models.py"]

    def start(arguments: list[str]) -> tuple["subprocess.Popen[str]", str]:
        """Start it; return what it says."""
        server = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        told = ""
        while "Ctrl-C" not in told:
            read = server.stdout.readline()
            assert read, told
            told += read
        return server, told

    server, told = start(line)
    for words in (
        "3 tables, 31 rows",
        "customer_id → customers",
        "email unique",
        "placed_at datetime",
        '"version" was left out',
        "/admin/enter?token=",
    ):
        assert words in told
    assert re.search(r"http://127\.0\.0\.1:\d+", told)
    place = tmp_path / "db-data"
    again = subprocess.run(line[:-2], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180)
    assert (again.returncode, "in use by process" in again.stderr) == (3, True)
    assert command("purge", "customers", "c4", "--yes", "-s", place).says("orders").status == 4
    assert command("rewind", "--at", "0", "--yes", "-s", place).says("applied by the server").status == 0
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=180)
    assert server.returncode == 0
    server, told = start(line[:-2])
    assert "which has the changes since" in told
    server.terminate()
    server.communicate(timeout=180)
    assert server.returncode == 0
    saved = command("tables", "-s", place)
    assert saved.says("customers\t0").status == 0
    models = models_of((tmp_path / "shop_models.py").read_text(), "Served")
    assert issubclass(models, Database)


def test_the_routes_are_shown_without_another_host(tmp_path: Path) -> None:
    """Ensure that /docs holds every table's routes, and that its policy lets nothing be loaded."""
    file = tmp_path / "db.json"
    file.write_text(json.dumps({"posts": [{"id": 1, "title": "One"}]}))
    with served(take_over(str(file), str(tmp_path / "store"))) as client:
        page = client.get("/docs")
        assert "PATCH /posts/{key}" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "//cdn" not in page.text
