"""What an application tells a router besides its table: an order, hooks, bodies, sentences, names."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header, Request
from pydantic import BaseModel, ConfigDict, Field, with_config
from starlette.responses import Response
from starlette.testclient import TestClient
from tests.snaptable.postgres import stores
from typing_extensions import TypedDict

from snaptable import Database, ForeignKey, Index, Query, Row, Table, Unique, new_id, table
from snaptable.web import (
    Docs,
    Hooks,
    IdempotencyKey,
    Listing,
    Operation,
    Problem,
    crud_router,
    install_problems,
    problem_response,
)
from snaptable.web import listing as lists


class Folder(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, Index()]
    is_closed: bool = False


class Paper(Row):
    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, Index()]
    folder_id: Annotated[str, ForeignKey(Folder, on_delete="cascade")]
    title: Annotated[str, Unique()]
    pages: int = 1
    box: dict[str, Any] = Field(default_factory=dict)


class Desk(Database):
    folders: Table[Folder]
    papers: Table[Paper] = table(Index("user_id", "pages", ordered=True))


class KeepingDesk(Desk):
    idempotency: Table[IdempotencyKey] = table(transient=True)


class PaperIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    folder_id: str
    title: str
    pages: int = 1
    box: dict[str, Any] = Field(default_factory=dict)


@with_config(ConfigDict(extra="forbid", strict=True))
class PaperChanges(TypedDict, total=False):
    title: str
    box: dict[str, Any]


class PaperOut(BaseModel):
    id: str
    user_id: str
    folder_id: str
    title: str
    pages: int
    box: dict[str, Any]


class Refused(Exception):
    """An error of the application's own."""


async def caller(x_user: Annotated[str, Header()]) -> str:
    """Give who asks."""
    return x_user


def hooks_of(db: Desk, turns: list[str]) -> Hooks[Paper]:
    """Return hooks that keep what is in closed folders out of sight, and note who takes turns."""

    def create(me: str, values: dict[str, Any]) -> Paper:
        folder = db.folders.get(values["folder_id"])
        if folder is None or folder.user_id != me:
            raise Refused("folder")
        return db.papers.create(**values)

    def find(_me: str, row: Paper) -> bool:
        return not db.folders[row.folder_id].is_closed

    def narrow(me: str, query: Query[Paper], asked: Listing[Paper]) -> Query[Paper]:
        for folder in asked.equals.get("folder_id", ()):
            if db.folders.get(folder) is None:
                raise Refused("folder")
        closed = {folder.id for folder in db.folders.where(user_id=me, is_closed=True)}
        return query.filter(lambda row: row.folder_id not in closed) if closed else query

    @asynccontextmanager
    async def slow(me: str) -> AsyncIterator[None]:
        turns.append(f"{me} takes")
        yield
        turns.append(f"{me} gives back")

    return Hooks(create=create, find=find, list=narrow, slow=slow)


def desk_app(db: Desk, turns: list[str], **options: Any) -> FastAPI:
    """Return the application."""
    app = FastAPI()
    install_problems(app)

    async def refuse(_request: Request, error: Exception) -> Response:
        return problem_response(Problem(404, f"There is no such {error}."))

    app.add_exception_handler(Refused, refuse)
    given: dict[str, Any] = {
        "caller": caller, "owner": "user_id", "filters": ["id", "folder_id", "title", "pages"], "sort": "-pages,title",
        "hooks": hooks_of(db, turns), "missing": "There is no such paper.", "create": PaperIn, "update": PaperChanges,
        "merge": False,
    }  # fmt: skip
    app.include_router(crud_router(db.papers, **{**given, **options}))
    return app


@pytest.fixture(params=["memory", "postgres"])
def desk(request: pytest.FixtureRequest) -> Iterator[tuple[Desk, TestClient, list[str]]]:
    """Give a desk with an open and a closed folder of ann's, its application, and who took turns."""
    url = "memory:" if request.param == "memory" else stores.new_schema()
    turns: list[str] = []
    try:
        with Desk(url) as db:
            db.folders.insert_many(
                Folder(id=name, user_id="ann", is_closed=name == "closed") for name in ("a", "closed")
            )
            with TestClient(desk_app(db, turns), raise_server_exceptions=False) as client:
                client.headers["X-User"] = "ann"
                yield db, client, turns
    finally:
        if url != "memory:":
            stores.drop_schemas([url])


def add(client: TestClient, **fields: Any) -> dict[str, Any]:
    """Add a paper, and return it."""
    answer = client.post("/papers", json={"folder_id": "a", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_the_routes_on_both_engines(desk: tuple[Desk, TestClient, list[str]]) -> None:
    """Ensure that handlers on an event loop read, list, count, write, and answer conflicts, whatever the engine."""
    db, client, _ = desk
    first = add(client, title="One", pages=2)
    path = f"/papers/{first['id']}"
    assert client.get(path).json() == first
    assert client.get(path, headers={"If-None-Match": client.get(path).headers["etag"]}).status_code == 304
    assert client.get(f"{path}?fields=title").json() == {"title": "One"}
    assert client.patch(path, json={"title": "Two"}).json() == {**first, "title": "Two"}
    assert client.put(path, json={"folder_id": "a", "title": "Three"}).json()["pages"] == 1
    clash = client.post("/papers", json={"folder_id": "a", "title": "Three"})
    assert (clash.status_code, clash.json()["other"]["row"]["id"]) == (409, first["id"])
    listed = client.get("/papers?count=exact&title__contains=THR&limit=1")
    assert (listed.status_code, listed.json()["total"], listed.json()["next_cursor"]) == (200, 1, None)
    assert client.get("/papers", headers={"If-None-Match": client.get("/papers").headers["etag"]}).status_code == 304
    assert client.delete(f"{path}?dry_run=true").json()["would_delete"] == {"papers": 1}
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert db.papers.count() == 0


def test_a_list_has_the_order_that_the_application_gives(desk: tuple[Desk, TestClient, list[str]]) -> None:
    """Ensure it across pages, and that a request may give another."""
    _, client, _ = desk
    for title, pages in (("b", 1), ("a", 1), ("c", 3)):
        add(client, title=title, pages=pages)
    first = client.get("/papers?limit=2").json()
    rest = client.get("/papers", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [row["title"] for row in first["items"] + rest["items"]] == ["c", "a", "b"]
    assert [row["title"] for row in client.get("/papers?sort=title").json()["items"]] == ["a", "b", "c"]


def test_hooks_hide_rows_and_narrow_lists_in_the_applications_words(desk: tuple[Desk, TestClient, list[str]]) -> None:
    """Ensure on every verb that what a hook hides is the 404 of what isn't there, with the application's sentence."""
    db, client, _ = desk
    hidden = db.papers.create(user_id="ann", folder_id="closed", title="hidden")
    shown = add(client, title="shown")
    assert [row["id"] for row in client.get("/papers").json()["items"]] == [shown["id"]]
    for method, body in (
        ("GET", None),
        ("PATCH", {"title": "x"}),
        ("PUT", {"folder_id": "a", "title": "x"}),
        ("DELETE", None),
    ):
        answers = [client.request(method, f"/papers/{key}", json=body) for key in (hidden.id, "none")]
        if method != "PUT":  # which adds a row that isn't there
            assert answers[0].json() == answers[1].json()
        assert (answers[0].status_code, answers[0].json()["detail"]) == (404, "There is no such paper.")
    refused = [client.get("/papers?folder_id=none"), client.post("/papers", json={"folder_id": "none", "title": "x"})]
    assert [(each.status_code, each.json()["detail"]) for each in refused] == [(404, "There is no such folder.")] * 2
    assert db.papers[hidden.id].title == "hidden"


def test_a_patch_that_does_not_merge_replaces_fields_whole(desk: tuple[Desk, TestClient, list[str]]) -> None:
    """Ensure it, and that a wrong body is told before the row is looked for."""
    _, client, _ = desk
    made = add(client, title="One", box={"x": 1, "y": 2})
    assert client.patch(f"/papers/{made['id']}", json={"box": {"z": None}}).json()["box"] == {"z": None}
    for key in (made["id"], "none"):
        wrong = client.patch(f"/papers/{key}", json={"title": 5, "pages": 2})
        assert [error["pointer"] for error in wrong.json()["errors"]] == ["/title", "/pages"]


def test_slow_lists_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that what takes long is made inside of the hook's context, and nothing else is."""
    turns: list[str] = []
    monkeypatch.setattr(lists, "MANY_ROWS", 3)
    with Desk("memory:") as db, TestClient(desk_app(db, turns), headers={"X-User": "ann"}) as client:
        db.folders.create(id="a", user_id="ann")
        db.papers.insert_many(Paper(user_id="ann", folder_id="a", title=f"{n}", pages=n) for n in range(8))
        plain = client.get("/papers?sort=pages").json()
        assert turns == []
        sorted_ = client.get("/papers?sort=-title").json()
        assert turns == ["ann takes", "ann gives back"]
        assert [row["title"] for row in sorted_["items"]] == sorted(
            (row["title"] for row in plain["items"]), reverse=True
        )


def test_what_a_router_does_not_offer_is_no_parameter_of_it() -> None:
    """Ensure that it is 422, and not documented; nor is a header that nothing is kept for."""
    with Desk("memory:") as db, TestClient(desk_app(db, [], offers=()), headers={"X-User": "ann"}) as client:
        for query in ("fields=id", "count=exact", "q=x", "at=1"):
            answer = client.get(f"/papers?{query}")
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{query.partition('=')[0]}")
        assert client.delete("/papers/x?dry_run=true").status_code == 422
        assert "etag" not in client.get("/papers").headers
        operations = [each for path in client.get("/openapi.json").json()["paths"].values() for each in path.values()]
        names = {parameter["name"] for each in operations for parameter in each.get("parameters", [])}
        assert not names & {"fields", "count", "q", "at", "dry_run", "Idempotency-Key"}
    keeping = desk_app(KeepingDesk("memory:"), []).openapi()["paths"]["/papers"]["post"]
    assert "Idempotency-Key" in {parameter["name"] for parameter in keeping["parameters"]}
    with pytest.raises(TypeError, match="can't offer 'everything'"):
        crud_router(Desk("memory:").papers, offers={"everything"})


def test_names_of_the_document_are_the_applications() -> None:
    """Ensure the names that generated clients have, the models, and that these can't lie."""
    said = {"get": Operation("show_paper", "Show a paper", "Return it.", (401, 404, 422))}
    docs = Docs(PaperOut, key="paper_id", operations=said)
    document = desk_app(Desk("memory:"), [], docs=docs).openapi()
    operation = document["paths"]["/papers/{paper_id}"]["get"]
    assert (operation["operationId"], operation["summary"], operation["description"]) == (
        "show_paper", "Show a paper", "Return it.",
    )  # fmt: skip
    assert set(operation["responses"]) == {"200", "304", "401", "404", "422"}
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/PaperOut")
    assert document["paths"]["/papers"]["get"]["operationId"] == "papers_list"
    db = Desk("memory:")
    with pytest.raises(TypeError, match="PaperIn"):
        crud_router(db.papers, docs=Docs(PaperIn))


def test_a_filter_can_mind_case() -> None:
    """Ensure it, and what the document says of it."""
    for ignore_case, found in ((True, 1), (False, 0)):
        db = Desk("memory:")
        with db, TestClient(desk_app(db, [], ignore_case=ignore_case), headers={"X-User": "ann"}) as client:
            db.folders.create(id="a", user_id="ann")
            db.papers.create(user_id="ann", folder_id="a", title="Title")
            assert len(client.get("/papers?title__contains=TIT").json()["items"]) == found
