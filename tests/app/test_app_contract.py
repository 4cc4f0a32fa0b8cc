"""The OpenAPI document, and whether the application keeps to it."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from tests.app.support import Api, annotation, check_problem, make_pdf, serving

from app.api.schemas import AnnotationOut, UserOut
from app.tables import Annotation, Document, User
from snaptable.web import RowResponder

OPERATIONS = {
    "register", "login", "logout", "get_me", "delete_account", "change_password",
    "list_sessions", "end_session", "end_other_sessions",
    "upload_document", "list_documents", "get_document", "get_document_content", "delete_document",
    "create_extraction", "list_extractions", "get_extraction", "delete_extraction",
    "create_annotation", "list_annotations", "get_annotation", "change_annotation", "delete_annotation",
    "get_health", "get_database_health", "get_performance", "get_metrics", "follow_changes",
}  # fmt: skip


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the operations by their ids."""
    return {item["operationId"]: item for path in document["paths"].values() for item in path.values()}


def test_operation_ids_are_stable(client: TestClient) -> None:
    """Ensure that generated clients keep their method names."""
    assert set(operations(client.get("/openapi.json").json())) == OPERATIONS


def test_routes_are_tried_one_after_another(client: TestClient) -> None:
    """Ensure that none is nested: FastAPI looks through an included router twice at every request."""
    assert isinstance(client.app, FastAPI)
    assert all(isinstance(route, Route | Mount) for route in client.app.routes)
    assert {route.name for route in client.app.routes if isinstance(route, Route)} > OPERATIONS


def test_the_documentation_begins_with_logging_in_and_says_what_each_operation_does(client: TestClient) -> None:
    """Ensure the order of /docs, and summaries that are more than the names of functions."""
    document = client.get("/openapi.json").json()
    assert [tag["name"] for tag in document["tags"]] == [
        "auth", "documents", "extractions", "annotations", "changes", "health",
    ]  # fmt: skip
    for name, operation in operations(document).items():
        assert operation["summary"].lower() != name.replace("_", " "), name
        assert operation["description"].rstrip() not in ("", operation["summary"]), name


def test_every_error_is_documented_as_a_problem(client: TestClient) -> None:
    """Ensure that each operation tells its errors, in the one shape, and its success."""
    document = client.get("/openapi.json").json()
    for name, operation in operations(document).items():
        statuses = set(operation["responses"])
        assert statuses & {"200", "201", "204"}, name
        if "security" in operation:
            assert "401" in statuses, name
        if "requestBody" in operation:
            assert {"413", "422", "503"} <= statuses, name
        for status, response in operation["responses"].items():
            if status >= "4":
                assert list(response["content"]) == ["application/problem+json"], (name, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_no_response_can_hold_a_secret(client: TestClient) -> None:
    """Ensure that no schema has a field for hashes of passwords or tokens."""
    for name, schema in client.get("/openapi.json").json()["components"]["schemas"].items():
        assert not {"password_hash", "token_sha256"} & set(schema.get("properties", {})), name


def test_only_documented_rows_are_sent() -> None:
    """Ensure that a row with a field more than its documented shape, or another type, can't be sent at all."""
    with pytest.raises(TypeError, match="User"):
        RowResponder(User, UserOut)

    class Other(AnnotationOut):
        page_num: str  # type: ignore[assignment]

    for model, shape in ((Annotation, Other), (Document, AnnotationOut)):
        with pytest.raises(TypeError):
            RowResponder(model, shape)


def test_a_row_is_sent_as_its_documented_shape_would_be(ann: Api) -> None:
    """Ensure the bytes that the model of the OpenAPI document gives."""
    document = ann.upload()["id"]
    created = ann.post("/api/annotations", json=annotation(document, content="é\u2028\n", color=None))
    assert created.content == AnnotationOut.model_validate_json(created.content).model_dump_json().encode()
    listed = ann.get(f"/api/annotations?document_id={document}")
    assert listed.content == b'{"items":[%b],"next_cursor":null}' % created.content
    check_problem(ann.get("/api/annotations/none"), 404)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """Give the schema of a running server, and the headers of a user of it who has one of everything."""
    directory = tmp_path_factory.mktemp("contract") / "data"
    with (
        serving(
            directory, "--registrations=1000000", "--max-body=20000000", "--max-login-body=20000000", "--no-fsync"
        ) as server,
        server.client() as http,
    ):
        ann = Api(http).register()
        document = ann.upload(make_pdf(2))
        ann.extract(document["id"])
        ann.annotate(document["id"])
        yield schemathesis.openapi.from_url(f"{server.base}/openapi.json"), ann.headers
        assert http.get("/health").json()["status"] == "ok"


def test_every_answer_is_as_documented(served: tuple[Any, dict[str, str]]) -> None:
    """Ensure, for generated requests of every operation, no 5xx, documented answers, and strictness."""
    schema, headers = served
    tried = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.definition.raw["operationId"] in ("logout", "follow_changes"):
            continue  # the one would end the session that the others need, the other has no end
        tried.add(operation.definition.raw["operationId"])

        modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

        @given(case=one_of(modes))
        @settings(
            max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        def try_one(case: Any) -> None:
            # A cursor is opaque: no schema says which ones the server gave out.
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

        try_one()
    assert tried == OPERATIONS - {"logout", "follow_changes"}
