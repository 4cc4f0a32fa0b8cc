"""A file of the older stop-gap, taken over."""

import base64
import copy
import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import CHEAP_HASHING, PASSWORD, Api, Json, Process, as_data_url, make_pdf, run_in_process

from app.files.staged_blob import StagedBlob
from snaptable import OpenError

pytestmark = pytest.mark.memory_only("a file of the older stop-gap lies in a directory")

ANN, BOB, GONE = (f"{n}0000000-0000-4000-8000-000000000000" for n in "abc")
PAPER, SCAN, LOST = (f"{n}1111111-1111-4111-8111-111111111111" for n in "abc")


@pytest.fixture
def old() -> Json:
    """Give a stop-gap file as people have it: mixed times, both forms of bytes, indexes that are worth nothing."""
    return {
        "users": old_users(),
        "documents": old_documents(),
        "extractions": old_extractions(),
        "annotations": old_annotations(),
        "users_by_email": {"Ann@Example.org": ANN, "ghost@example.org": GONE},
        "documents_by_user": {ANN: [PAPER, "long gone"]},
        "extractions_by_document": {},
    }


def old_users() -> Json:
    """Return two users with one password, hashed by bcrypt."""
    password_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    times = {"created_at": "2024-05-01T10:00:00.123456", "updated_at": "2024-05-02T10:00:00"}
    return {
        ANN: {"id": ANN, "email": "Ann@Example.org", "password_hash": password_hash, **times},
        BOB: {
            "id": BOB, "email": "bob@example.org", "password_hash": password_hash,
            "created_at": "2024-06-01T12:00:00+02:00",
        },
    }  # fmt: skip


def old_documents() -> Json:
    """Return three documents with their bytes in them; the user of the last one is gone."""
    paper, scan = make_pdf(3), make_pdf(1, title="scan")
    return {
        PAPER: {
            "id": PAPER, "user_id": ANN, "filename": "paper.pdf", "total_pages": 3,
            "upload_date": "2024-05-03T00:00:00", "pdf_data": as_data_url(paper), "metadata": {"a": [1, None]},
        },
        SCAN: {
            "id": SCAN, "user_id": BOB, "filename": "scan.pdf", "upload_date": "2024-05-04T00:00:00Z",
            "pdf_data": base64.encodebytes(scan).decode(),
        },
        LOST: {
            "id": LOST, "user_id": GONE, "filename": "lost.pdf", "total_pages": 3,
            "upload_date": "2024-05-03T00:00:00", "pdf_data": as_data_url(paper), "metadata": {},
        },
    }  # fmt: skip


def old_extractions() -> Json:
    """Return two extractions, the second one of a document whose user is gone."""
    coordinates = {"x": 1, "y": 2.5, "width": 3, "height": 4}
    return {
        "e1": {
            "id": "e1", "document_id": PAPER, "user_id": ANN, "field_name": "total", "text": "42", "page": 1,
            "coordinates": coordinates, "method": "gemini-pico", "timestamp": "2024-05-05T00:00:00",
        },
        "e2": {
            "id": "e2", "document_id": LOST, "user_id": ANN, "field_name": "total", "text": "42", "page": 1,
            "coordinates": coordinates, "method": "manual", "timestamp": "2024-05-05T00:00:00",
        },
    }  # fmt: skip


def old_annotations() -> Json:
    """Return two annotations, the second one of a document that never was."""
    return {
        "a1": {
            "id": "a1", "document_id": PAPER, "user_id": ANN, "page_num": 2, "type": "freehand",
            "coordinates": {"points": [[1, 2]]}, "content": "hm", "color": "#fff",
            "created_at": "2024-05-06T00:00:00",
        },
        "a2": {
            "id": "a2", "document_id": "never was", "user_id": ANN, "page_num": 2, "type": "note",
            "coordinates": {}, "content": "hm", "color": "#fff", "created_at": "2024-05-06T00:00:00",
        },
    }  # fmt: skip


def put(tmp_path: Path, content: Json) -> bytes:
    """Write the old file into the store's directory, and return its bytes."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    path = directory / "db_snapshot.json"
    path.write_text(json.dumps(content, indent=2))
    return path.read_bytes()


def test_people_log_in_with_their_old_passwords_and_find_their_things(start: Start, old: Json, tmp_path: Path) -> None:
    """Ensure that users, documents with their bytes, extractions and annotations are all there."""
    put(tmp_path, old)
    ann = Api(start(), "ann@example.org").log_in()
    assert ann.get("/api/auth/me").json()["created_at"] == "2024-05-01T10:00:00.123456Z"
    document = ann.get(f"/api/documents/{PAPER}").json()
    assert (document["total_pages"], document["metadata"]) == (3, {"a": [1, None]})
    assert document["upload_date"] == "2024-05-03T00:00:00Z"
    assert document["sha256"] == hashlib.sha256(make_pdf(3)).hexdigest()
    assert ann.get(f"/api/documents/{PAPER}/content").content == make_pdf(3)
    assert [row["id"] for row in ann.get("/api/extractions").json()["items"]] == ["e1"]
    (annotation,) = ann.get("/api/annotations").json()["items"]
    assert annotation["created_at"] == annotation["updated_at"] == "2024-05-06T00:00:00Z"
    assert annotation["coordinates"] == {"points": [[1, 2]]}


def test_what_follows_from_the_rest_is_filled_in(start: Start, old: Json, tmp_path: Path) -> None:
    """Ensure that missing page counts, metadata and times are worked out, and offsets become UTC."""
    del old["documents"][SCAN]["upload_date"]
    put(tmp_path, old)
    os.utime(tmp_path / "data" / "db_snapshot.json", (1719792000, 1719792000))
    bob = Api(start(), "bob@example.org").log_in()
    document = bob.get(f"/api/documents/{SCAN}").json()
    assert (document["total_pages"], document["metadata"]) == (1, {})
    assert bob.get("/api/auth/me").json()["created_at"] == "2024-06-01T10:00:00Z"
    assert document["upload_date"] == "2024-07-01T00:00:00Z"


def test_a_bcrypt_hash_is_replaced_at_the_first_login(start: Start, old: Json, tmp_path: Path) -> None:
    """Ensure argon2 after one login, the other user's hash untouched, and the password good ever after."""
    put(tmp_path, old)
    ann = Api(start(), "ann@example.org").log_in()
    users = json.loads((tmp_path / "data" / "db_snapshot.json").read_text())["users"]
    assert users[ANN]["password_hash"].startswith("$argon2id$")
    assert users[BOB]["password_hash"].startswith("$2b$")
    ann.http = start()
    ann.log_in()


def test_nothing_is_dropped_in_silence(start: Start, old: Json, tmp_path: Path) -> None:
    """Ensure that the old bytes are kept, and rows without owner are in quarantine, whole."""
    before = put(tmp_path, old)
    start()
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.read_bytes() == before]
    assert len(kept) == 1
    quarantined = "".join(
        path.read_text() for path in (tmp_path / "data" / "quarantine").rglob("*") if path not in kept
    )
    for key in (LOST, "e2", "a2"):
        assert key in quarantined
    assert old["documents"][LOST]["pdf_data"] in quarantined


def rows_of(client: TestClient) -> dict[str, int]:
    """Return the numbers of rows that a store has."""
    rows: dict[str, int] = client.app.state.db.status().rows  # type: ignore[attr-defined]
    return rows


def test_a_second_start_finds_a_store_like_any_other(start: Start, old: Json, tmp_path: Path) -> None:
    """Ensure that taking over happens once."""
    put(tmp_path, old)
    rows = rows_of(start())
    assert rows == {"users": 2, "sessions": 0, "documents": 2, "extractions": 1, "annotations": 1}
    assert rows_of(start()) == rows


MISFITS: list[tuple[str, list[str], Any, list[str]]] = [
    ("clash", ["users", BOB, "email"], "ANN@example.ORG", ["users", BOB, "email", ANN]),
    ("time", ["documents", PAPER, "upload_date"], "last week", ["documents", PAPER, "upload_date"]),
    ("bytes", ["documents", PAPER, "pdf_data"], "!!!", ["documents", PAPER, "pdf_data"]),
    ("no bytes", ["documents", PAPER, "pdf_data"], None, ["documents", PAPER, "pdf_data"]),
    ("type", ["annotations", "a1", "type"], "scribble", ["annotations", "a1", "type"]),
    ("coordinates", ["extractions", "e1", "coordinates"], {"x": 1}, ["extractions", "e1", "coordinates"]),
    ("field", ["users", ANN, "role"], "admin", ["users", ANN, "role"]),
    ("pages", ["documents", PAPER, "total_pages"], "three", ["documents", PAPER, "total_pages"]),
    ("last row", ["annotations", "a1", "page_num"], "two", ["annotations", "a1", "page_num"]),
]


@pytest.mark.parametrize(("path", "value", "words"), [case[1:] for case in MISFITS], ids=[case[0] for case in MISFITS])
def test_a_row_that_does_not_fit_is_reported_and_nothing_changed(
    old: Json, tmp_path: Path, path: list[str], value: Any, words: list[str]
) -> None:
    """Ensure that the start is refused naming table, key and field, with the file as it was."""
    content = copy.deepcopy(old)
    content[path[0]][path[1]][path[2]] = value
    before = put(tmp_path, content)
    cheap = [f"--{name.replace('_', '-')}={number}" for name, number in CHEAP_HASHING.items()]
    status, output = run_in_process(["--port=0", f"--data-dir={tmp_path / 'data'}", *cheap])
    assert status == 1
    for word in words:
        assert word in output
    assert "Traceback" not in output
    assert (tmp_path / "data" / "db_snapshot.json").read_bytes() == before
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"db_snapshot.json", "db.lock"}


@pytest.mark.parametrize(("table", "value"), [("documents", []), ("users", None), ("annotations", "none")])
def test_a_table_that_is_none_is_named(start: Start, old: Json, tmp_path: Path, table: str, value: object) -> None:
    """Ensure that a list, null or text in the place of a table is refused by its name."""
    before = put(tmp_path, old | {table: value})
    with pytest.raises(OpenError, match=f'"{table}" is'):
        start()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"db_snapshot.json", "db.lock"}
    assert (tmp_path / "data" / "db_snapshot.json").read_bytes() == before


def test_bytes_that_find_no_room_leave_nothing(
    start: Start, old: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a disk that is full at the second document leaves neither blob nor quarantine, and a retry works."""
    before = put(tmp_path, old)
    publish = StagedBlob.publish
    published: list[str] = []

    def fail_at_second(staged: StagedBlob) -> None:
        if published:
            raise OSError(errno.ENOSPC, "No space left on device")
        published.append(staged.sha256)
        publish(staged)

    monkeypatch.setattr(StagedBlob, "publish", fail_at_second)
    with pytest.raises(OpenError, match=r"could not be taken over: .*No space left"):
        start()
    assert published
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name != "db.lock"]
    assert [path.read_bytes() for path in files] == [before]
    monkeypatch.undo()
    assert rows_of(start())["documents"] == 2


def test_a_real_server_takes_over_and_survives_a_kill_at_once(old: Json, tmp_path: Path) -> None:
    """Ensure that the first start on an old file leaves a store that a kill does not hurt."""
    put(tmp_path, old)
    server = Process(tmp_path / "data")
    try:
        server.start()
        server.kill()
        server.start()
        with server.client() as http:
            ann = Api(http, "ann@example.org").log_in()
            assert ann.get(f"/api/documents/{PAPER}/content").content == make_pdf(3)
        assert server.stop() == 0
    finally:
        server.end()
