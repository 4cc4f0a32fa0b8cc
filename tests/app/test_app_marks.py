"""Extractions and annotations."""

import json
from typing import Any

import pytest
from tests.app.conftest import Start
from tests.app.support import Api, Json, annotation, check_problem, extraction, pointers


def test_an_extraction_comes_back_as_sent(ann: Api) -> None:
    """Ensure 201 with what was sent, plus id, user_id and timestamp."""
    document = ann.upload()
    body = extraction(document["id"], text="Grüße 🎉\n", method="gemini-pico", page=3)
    created = ann.created(ann.post("/api/extractions", json=body))
    assert created == body | {key: created[key] for key in ("id", "user_id", "timestamp")}
    assert created["user_id"] == document["user_id"]
    assert ann.get(f"/api/extractions/{created['id']}").json() == created
    assert ann.delete(f"/api/extractions/{created['id']}").status_code == 204
    check_problem(ann.get(f"/api/extractions/{created['id']}"), 404)


NUMBERS = ["0", "1", "-1", "1.0", "-0.0", "0.1", "30.25", "1e-7", "1e22", "123456789012345678901234567890", "5e-324"]


def test_coordinates_come_back_as_they_were_sent(start: Start) -> None:
    """Ensure of both tables that 1 stays 1 and 1.0 stays 1.0: in the answer, later, in a list, and after a restart."""
    ann = Api(start()).register()
    document = ann.upload()["id"]
    made = {}
    for number in NUMBERS:
        box = f'{{"x":{number},"y":2,"width":2.0,"height":{number}}}'
        for kind, body in (("extractions", extraction(document)), ("annotations", annotation(document, page_num=1))):
            text = json.dumps(body | {"coordinates": "box"}).replace('"box"', box)
            response = ann.post(f"/api/{kind}", content=text, headers={"Content-Type": "application/json"})
            path = f"/api/{kind}/{ann.created(response)['id']}"
            made[path] = repr(json.loads(box))
            assert repr(response.json()["coordinates"]) == made[path]
    ann.http = start()
    for path, box in made.items():
        assert repr(ann.get(path).json()["coordinates"]) == box
    for kind in ("extractions", "annotations"):
        listed = ann.get(f"/api/{kind}").json()["items"]
        assert [repr(row["coordinates"]) for row in listed] == [made[f"/api/{kind}/{row['id']}"] for row in listed]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 400, "NaN", "-Infinity"])
def test_a_number_that_nothing_holds_is_422(shared: Api, paper: Json, number: str) -> None:
    """Ensure that coordinates beyond a float are refused, and pointed at."""
    box = f'{{"x":1,"y":{number},"width":2.0,"height":1}}'
    text = json.dumps(extraction(paper["id"]) | {"coordinates": "box"}).replace('"box"', box)
    response = shared.post("/api/extractions", content=text, headers={"Content-Type": "application/json"})
    assert pointers(response) == ["/coordinates/y"]


@pytest.mark.parametrize("kind", ["highlight", "note", "rectangle", "circle", "arrow", "freehand"])
def test_an_annotation_comes_back_as_sent(shared: Api, paper: Json, kind: str) -> None:
    """Ensure 201 with what was sent, any coordinates included, plus the four fields of ours."""
    body = annotation(paper["id"], type=kind, coordinates={"a": [1, {"b": None}], "big": 10**30})
    created = shared.created(shared.post("/api/annotations", json=body))
    added = ("id", "user_id", "created_at", "updated_at")
    assert created == body | {key: created[key] for key in added}
    assert created["created_at"] == created["updated_at"]
    assert shared.get(f"/api/annotations/{created['id']}").json() == created


def test_patch_changes_what_is_given_and_updated_at(ann: Api) -> None:
    """Ensure that other fields stay, null clears what may be null, and updated_at moves."""
    before = ann.annotate(ann.upload()["id"])
    path = f"/api/annotations/{before['id']}"
    after = ann.patch(path, json={"content": None, "page_num": 3, "coordinates": {"x": 1}}).json()
    assert after == before | {
        "content": None,
        "page_num": 3,
        "coordinates": {"x": 1},
        "updated_at": after["updated_at"],
    }
    assert after["updated_at"] > before["updated_at"]
    assert ann.get(path).json() == after


def test_an_empty_patch_changes_nothing(ann: Api) -> None:
    """Ensure 200 and the same row, updated_at and the store's sequence included."""
    before = ann.annotate(ann.upload()["id"])
    sequence = ann.get("/health").json()["sequence"]
    response = ann.patch(f"/api/annotations/{before['id']}", json={})
    assert (response.status_code, response.json()) == (200, before)
    assert ann.get("/health").json()["sequence"] == sequence


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"page_num": None}, "/page_num"),
        ({"page_num": 4}, "/page_num"),
        ({"type": None}, "/type"),
        ({"type": "scribble"}, "/type"),
        ({"coordinates": None}, "/coordinates"),
        ({"coordinates": []}, "/coordinates"),
        ({"content": 5}, "/content"),
        ({"user_id": "x"}, "/user_id"),
        ({"document_id": "x"}, "/document_id"),
        ({"id": "x"}, "/id"),
        ({"updated_at": "2020-01-01T00:00:00Z"}, "/updated_at"),
        ([], ""),
    ],
)
def test_a_wrong_patch_is_422_and_changes_nothing(shared: Api, paper: Json, changes: Any, pointer: str) -> None:
    """Ensure that each field is checked, and none that is ours can be set."""
    before = shared.annotate(paper["id"])
    assert pointers(shared.patch(f"/api/annotations/{before['id']}", json=changes)) == [pointer]
    assert shared.get(f"/api/annotations/{before['id']}").json() == before


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"page": 0}, "/page"),
        ({"page": 4}, "/page"),
        ({"page": 1.5}, "/page"),
        ({"page": "1"}, "/page"),
        ({"page": True}, "/page"),
        ({"page": 10**4000}, "/page"),
        ({"text": None}, "/text"),
        ({"text": 1}, "/text"),
        ({"field_name": ""}, "/field_name"),
        ({"method": 3}, "/method"),
        ({"coordinates": {"x": 1, "y": 2, "width": 3}}, "/coordinates/height"),
        ({"coordinates": {"x": 1, "y": 2, "width": 3, "height": "4"}}, "/coordinates/height"),
        ({"coordinates": {"x": True, "y": 2, "width": 3, "height": None}}, ["/coordinates/x", "/coordinates/height"]),
        ({"coordinates": {"x": 10**400, "y": 2, "width": 3, "height": 4}}, "/coordinates/x"),
        ({"coordinates": {"x": 1, "y": 2, "width": 3, "height": 4, "z": 5}}, "/coordinates/z"),
        ({"coordinates": None}, "/coordinates"),
        ({"confidence": 0.5}, "/confidence"),
    ],
)
def test_a_wrong_extraction_is_422(shared: Api, paper: Json, changes: Any, pointer: str | list[str]) -> None:
    """Ensure that each field is checked strictly, and pages lie within the document."""
    body = extraction(paper["id"], **changes)
    expected = pointer if isinstance(pointer, list) else [pointer]
    assert pointers(shared.post("/api/extractions", json=body)) == expected


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"page_num": 4}, "/page_num"),
        ({"page_num": -1}, "/page_num"),
        ({"type": "Highlight"}, "/type"),
        ({"coordinates": "x"}, "/coordinates"),
        ({"color": "x" * 65}, "/color"),
        ({"extra": 1}, "/extra"),
    ],
)
def test_a_wrong_annotation_is_422(shared: Api, paper: Json, changes: Any, pointer: str) -> None:
    """Ensure that each field is checked strictly."""
    body = annotation(paper["id"], **changes)
    assert pointers(shared.post("/api/annotations", json=body)) == [pointer]


def test_one_dot_zero_is_a_whole_number(ann: Api) -> None:
    """Ensure that JSON's two spellings of a page are the same."""
    assert ann.extract(ann.upload()["id"], page=2.0)["page"] == 2


def test_marks_of_a_missing_document_are_404(ann: Api) -> None:
    """Ensure that nothing can be recorded on a document that is not there."""
    check_problem(ann.post("/api/extractions", json=extraction("nowhere")), 404)
    check_problem(ann.post("/api/annotations", json=annotation("nowhere")), 404)
    check_problem(ann.get("/api/extractions?document_id=nowhere"), 404)
    check_problem(ann.get("/api/annotations?document_id=nowhere"), 404)


def test_another_users_rows_are_as_good_as_missing(ann: Api, bob: Api) -> None:
    """Ensure, on every verb, the very answer that a row gets that was never there."""
    document = ann.upload()["id"]
    marks = {
        "documents": document,
        "extractions": ann.extract(document)["id"],
        "annotations": ann.annotate(document)["id"],
    }
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/api/documents/{documents}", None),
        ("GET", "/api/documents/{documents}/content", None),
        ("DELETE", "/api/documents/{documents}", None),
        ("GET", "/api/extractions/{extractions}", None),
        ("DELETE", "/api/extractions/{extractions}", None),
        ("GET", "/api/extractions?document_id={documents}", None),
        ("GET", "/api/extractions?document_id__in={documents}", None),
        ("GET", "/api/annotations/{annotations}", None),
        ("PATCH", "/api/annotations/{annotations}", {}),
        ("PATCH", "/api/annotations/{annotations}", {"content": "mine now"}),
        ("DELETE", "/api/annotations/{annotations}", None),
        ("GET", "/api/annotations?document_id={documents}", None),
    ]
    missing = dict.fromkeys(marks, "00000000-0000-4000-8000-000000000000")
    for method, path, body in requests:
        foreign = bob.request(method, path.format(**marks), json=body)
        never = bob.request(method, path.format(**missing), json=body)
        assert check_problem(foreign, 404) == check_problem(never, 404), (method, path)
    for make, kind in ((extraction, "extractions"), (annotation, "annotations")):
        check_problem(bob.post(f"/api/{kind}", json=make(document)), 404)
        assert bob.get(f"/api/{kind}").json()["items"] == []
        assert len(ann.get(f"/api/{kind}").json()["items"]) == 1
    assert bob.get("/api/documents").json()["items"] == []
