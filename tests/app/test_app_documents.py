"""Uploading, downloading and deleting documents."""

import hashlib
import io
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.app.conftest import Start, Stored
from tests.app.support import Api, Json, check_problem, handwritten_pdf, make_pdf, pointers, wait_for

from app.files.blobs import Blobs
from app.files.shared_blobs import LEFTOVER_SECONDS
from app.main import main
from snaptable.storage.disk.files import Files


def blobs(directory: Path) -> list[str]:
    """Return the names of the stored blobs."""
    return sorted(path.name for path in (directory / "data" / "blobs").iterdir())


def test_an_upload_is_described_and_given_back(ann: Api) -> None:
    """Ensure the page count of the file itself, its size and hash, and the same bytes on download."""
    pdf = make_pdf(4)
    document = ann.upload(pdf, metadata=json.dumps({"tags": ["a", "b"], "deep": {"n": 1.5, "none": None}}))
    assert set(document) == {
        "id", "user_id", "filename", "total_pages", "size", "sha256", "upload_date", "metadata",
    }  # fmt: skip
    assert (document["total_pages"], document["size"]) == (4, len(pdf))
    assert document["sha256"] == hashlib.sha256(pdf).hexdigest()
    assert document["metadata"] == {"tags": ["a", "b"], "deep": {"n": 1.5, "none": None}}
    assert ann.get(f"/api/documents/{document['id']}").json() == document
    content = ann.get(f"/api/documents/{document['id']}/content")
    assert content.content == pdf
    assert content.headers["content-type"] == "application/pdf"
    assert content.headers["x-content-type-options"] == "nosniff"


def test_a_handwritten_pdf_is_one(ann: Api) -> None:
    """Ensure that a minimal file, made by no library, counts."""
    assert ann.upload(handwritten_pdf())["total_pages"] == 1


def test_a_pdf_with_an_owner_password_only_is_one(ann: Api) -> None:
    """Ensure that what every reader opens without asking is taken, and given back as it came."""
    pdf = make_pdf(2, owner="secret")
    document = ann.upload(pdf)
    assert document["total_pages"] == 2
    assert ann.get(f"/api/documents/{document['id']}/content").content == pdf


def test_a_pdf_that_asks_for_a_password_says_so(ann: Api) -> None:
    """Ensure that the password is named as what is in the way."""
    for pdf in (make_pdf(2, password="user"), make_pdf(2, password="user", owner="owner")):
        files = {"file": ("a.pdf", pdf, "application/pdf")}
        response = ann.post("/api/documents", files=files)
        assert pointers(response) == ["/file"]
        assert "password" in response.text


def damage(path: Path, how: str) -> None:
    """Change a blob in one way."""
    data = path.read_bytes()
    changed = {"flipped": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "short": data[:-1], "long": data + b"x"}
    path.write_bytes(changed.get(how, b""))


@pytest.mark.parametrize("how", ["flipped", "short", "long", "empty"])
@pytest.mark.parametrize("served_before", [True, False])
def test_damaged_bytes_are_never_served(
    ann: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str, served_before: bool
) -> None:
    """Ensure 500 in the place of other bytes, whole or in part, and that an upload of the right ones heals them."""
    document = ann.upload()
    path = tmp_path / "data" / "blobs" / document["sha256"]
    content = f"/api/documents/{document['id']}/content"
    if served_before:
        os.utime(path, (1, 1))
        assert ann.get(content).status_code == 200
    damage(path, how)
    for headers in ({}, {"Range": "bytes=0-3"}):
        assert "damaged" in check_problem(ann.get(content, headers=headers), 500)["detail"]
    assert document["sha256"] in caplog.text
    ann.upload()
    assert ann.get(content).content == make_pdf()


def test_what_was_verified_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that an untouched blob is hashed at the first download only."""
    store = Blobs(Files(tmp_path), lambda _: True)
    with store.stage(io.BytesIO(b"bytes"), 10) as staged:
        staged.publish()
    monkeypatch.setattr("app.files.blobs.SETTLED_SECONDS", -1.0)
    store.open(staged.sha256, 5).close()
    monkeypatch.setattr("app.files.blobs.digest_of", lambda _: pytest.fail("it was read again"))
    store.open(staged.sha256, 5).close()


def test_a_check_verifies_the_bytes(
    ann: Api, tmp_path: Path, database: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ensure that `backend check`, beside a running server, names documents whose bytes are damaged or missing."""
    intact, damaged, missing = (ann.upload(make_pdf(title=title)) for title in ("a", "b", "c"))
    command = ["check", f"--data-dir={tmp_path / 'data'}"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in database.items()]
    assert main(command) == 0
    damage(tmp_path / "data" / "blobs" / damaged["sha256"], "flipped")
    (tmp_path / "data" / "blobs" / missing["sha256"]).unlink()
    capsys.readouterr()
    assert main(command) == 1
    output = capsys.readouterr().out
    assert "2 problems" in output
    assert intact["id"] not in output
    for document, word in ((damaged, "damaged"), (missing, "missing")):
        (line,) = [line for line in output.splitlines() if document["id"] in line]
        assert word in line


def test_bytes_are_stored_by_hash_beside_the_snapshot(ann: Api, tmp_path: Path, stored: Stored) -> None:
    """Ensure one private file named by the hash, whatever the umask, and nothing of it in the snapshot."""
    document = ann.upload()
    path = tmp_path / "data" / "blobs" / document["sha256"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == document["sha256"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "%PDF" not in json.dumps(stored("documents"))


def test_equal_bytes_are_stored_once_and_go_with_the_last_document(
    ann: Api, bob: Api, start: Start, tmp_path: Path
) -> None:
    """Ensure that a blob is shared between users, and collected when neither a document nor history names it."""
    first, second = ann.upload(), bob.upload()
    assert first["sha256"] == second["sha256"]
    assert blobs(tmp_path) == [first["sha256"]]
    assert ann.delete(f"/api/documents/{first['id']}").status_code == 204
    assert bob.get(f"/api/documents/{second['id']}/content").status_code == 200
    assert bob.delete(f"/api/documents/{second['id']}").status_code == 204
    assert blobs(tmp_path) == [first["sha256"]]
    ann.upload(make_pdf(5))
    history = bob.http.app.state.resources.db.history  # type: ignore[attr-defined]
    history.forget(history.sequence)
    start()
    assert first["sha256"] not in blobs(tmp_path)


def test_deleting_a_document_takes_its_rows_along(ann: Api, client: TestClient) -> None:
    """Ensure the cascade to extractions and annotations of that document only."""
    gone, kept = ann.upload(), ann.upload(make_pdf(2))
    extraction, annotation = ann.extract(gone["id"]), ann.annotate(gone["id"])
    ann.extract(kept["id"])
    assert ann.delete(f"/api/documents/{gone['id']}").status_code == 204
    check_problem(ann.get(f"/api/documents/{gone['id']}"), 404)
    check_problem(ann.get(f"/api/documents/{gone['id']}/content"), 404)
    check_problem(ann.get(f"/api/extractions/{extraction['id']}"), 404)
    check_problem(ann.get(f"/api/annotations/{annotation['id']}"), 404)
    rows = ann.get("/health").json()["rows"]
    assert (rows["documents"], rows["extractions"], rows["annotations"]) == (1, 1, 0)


NOT_PDFS: list[Callable[[], bytes]] = [
    lambda: b"",
    lambda: b"hello",
    lambda: b"\x89PNG\r\n\x1a\n" + bytes(100),
    lambda: b"%PDF-1.7\nand then nothing",
    lambda: make_pdf()[:200],
    lambda: make_pdf(0),
    lambda: make_pdf(2, password="secret"),
    lambda: b"<html>%PDF" + bytes(2000),
]


@pytest.mark.parametrize("make", NOT_PDFS)
def test_what_is_no_pdf_is_refused_and_leaves_nothing(shared: Api, paper: Json, make: Callable[[], bytes]) -> None:
    """Ensure 422 pointing at `file` for no PDF, a broken, an empty and an encrypted one."""
    directory = shared.http.app.state.resources.uploads.blobs.directory  # type: ignore[attr-defined]
    before = sorted(directory.iterdir())
    response = shared.post("/api/documents", files={"file": ("x.pdf", make(), "application/pdf")})
    assert pointers(response) == ["/file"]
    assert sorted(directory.iterdir()) == before
    assert paper in shared.get("/api/documents").json()["items"]


def test_a_pdf_that_takes_too_long_is_refused_and_the_next_one_read(start: Start) -> None:
    """Ensure that a child stuck in a PDF is replaced, and the server goes on."""
    client = start(pdf_seconds=1e-9, pdf_workers=1)
    ann = Api(client).register()
    assert pointers(ann.post("/api/documents", files={"file": ("x.pdf", make_pdf(), "application/pdf")})) == ["/file"]
    client.app.state.resources.uploads.pages.seconds = 60  # type: ignore[attr-defined]
    assert ann.upload()["total_pages"] == 3


def test_a_page_tree_that_loops_is_refused(ann: Api) -> None:
    """Ensure that a PDF whose page tree contains itself is an ordinary 422."""
    looping = handwritten_pdf().replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]")
    assert pointers(ann.post("/api/documents", files={"file": ("x.pdf", looping, "application/pdf")})) == ["/file"]


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        *[(text, "") for text in ("[]", "1", "null", '"x"', "{", "", "NaN")],
        *[(text, "/a") for text in ('{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}')],
        ('{"a": [0, {"b": 1e999}]}', "/a/1/b"),
    ],
)
def test_metadata_is_a_json_object(shared: Api, text: str, pointer: str) -> None:
    """Ensure 422 pointing at `metadata`, or at the value in it, for anything else."""
    files = {"file": ("x.pdf", make_pdf(), "application/pdf")}
    assert pointers(shared.post("/api/documents", files=files, data={"metadata": text})) == [f"/metadata{pointer}"]


def test_the_form_is_checked(ann: Api) -> None:
    """Ensure that missing, unknown and repeated parts are pointed at, and other bodies are no form."""
    pdf = ("x.pdf", make_pdf(), "application/pdf")
    check_problem(ann.post("/api/documents"), 415)
    check_problem(ann.post("/api/documents", json={"file": "x"}), 415)
    check_problem(ann.post("/api/documents", data={"file": "text"}), 415)
    assert pointers(ann.post("/api/documents", files={"metadata": (None, "{}")})) == ["/file"]
    assert pointers(ann.post("/api/documents", files={"file": (None, "text")})) == ["/file"]
    assert pointers(ann.post("/api/documents", files={"file": pdf}, data={"owner": "bob"})) == ["/owner"]
    assert pointers(ann.post("/api/documents", files=[("file", pdf), ("file", pdf)])) == ["/file"]
    assert pointers(ann.post("/api/documents", files=[("file", pdf)] * 5)) == [""]
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        assert pointers(ann.post("/api/documents", content=b"no form", headers={"Content-Type": kind})) == [""]


def test_an_upload_without_a_token_is_refused_unread(client: TestClient) -> None:
    """Ensure 401 before anything of the form is looked at."""
    check_problem(client.post("/api/documents", files={"file": ("x.pdf", b"no pdf", "application/pdf")}), 401)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("../../etc/passwd.pdf", "passwd.pdf"),
        ("C:\\Users\\ann\\report.pdf", "report.pdf"),
        ("Übersicht “final”.pdf", "Übersicht “final”.pdf"),
        ("a\u202efdp.exe", "afdp.exe"),
        ("..", "document.pdf"),
        ("x" * 400, "x" * 255),
    ],
)
def test_file_names_are_made_harmless(shared: Api, sent: str, stored: str) -> None:
    """Ensure that paths and control characters are dropped, and the download's header is well formed."""
    document = shared.upload(name=sent)
    assert document["filename"] == stored
    header = shared.get(f"/api/documents/{document['id']}/content").headers["content-disposition"]
    assert header.isascii()
    assert header.startswith('attachment; filename="')
    assert header.count('"') == 2
    assert "filename*=UTF-8''" in header


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=9-5", 200, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
    ],
)
def test_parts_can_be_downloaded(shared: Api, wanted: str, status: int, part: slice) -> None:
    """Ensure that one range is served, and a header that can't be is ignored."""
    pdf = make_pdf()
    document = shared.upload(pdf)
    response = shared.get(f"/api/documents/{document['id']}/content", headers={"Range": wanted})
    assert (response.status_code, response.content) == (status, pdf[part])


def test_a_range_behind_the_end_is_416(ann: Api) -> None:
    """Ensure a problem that tells the size."""
    document = ann.upload()
    response = ann.get(f"/api/documents/{document['id']}/content", headers={"Range": "bytes=999999-"})
    check_problem(response, 416)
    assert response.headers["content-range"] == f"bytes */{document['size']}"


def test_a_document_over_the_limit_is_413(start: Start, tmp_path: Path) -> None:
    """Ensure that the limit holds for the file itself, and nothing is left behind."""
    client = start(max_upload=2000)
    ann = Api(client).register()
    small, large = make_pdf(1), make_pdf(200)
    assert len(small) < 2000 < len(large)
    ann.upload(small)
    check_problem(ann.post("/api/documents", files={"file": ("x.pdf", large, "application/pdf")}), 413)
    assert len(blobs(tmp_path)) == 1


def test_missing_bytes_are_told_as_the_servers_fault(ann: Api, tmp_path: Path) -> None:
    """Ensure a problem, not a broken answer, when somebody removed a blob by hand."""
    document = ann.upload()
    (tmp_path / "data" / "blobs" / document["sha256"]).unlink()
    check_problem(ann.get(f"/api/documents/{document['id']}/content"), 500)


def test_a_failing_disk_is_503_and_leaves_no_document(
    ann: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ensure that a full disk under an upload is told, and uploading works again once there is room."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        response = ann.post("/api/documents", files={"file": ("x.pdf", make_pdf(), "application/pdf")})
    check_problem(response, 503)
    assert response.headers["retry-after"]
    assert blobs(tmp_path) == []
    ann.upload()


def test_what_a_crash_left_is_swept_at_the_start(start: Start, tmp_path: Path, engine: str) -> None:
    """Ensure that temporary files and unnamed blobs go, and everything else stays.

    Where rows are on a server, other processes may be writing temporary files: there those go that are an hour old.
    """
    ann = Api(start()).register()
    document = ann.upload()
    directory = tmp_path / "data" / "blobs"
    orphan = directory / hashlib.sha256(b"orphan").hexdigest()
    for path in (orphan, directory / ".incoming-0123", directory / "notes.txt"):
        path.write_bytes(b"orphan")
    if engine == "postgres":
        hours_ago = time.time() - LEFTOVER_SECONDS - 1
        os.utime(directory / ".incoming-0123", (hours_ago, hours_ago))
    ann.http = start()
    assert blobs(tmp_path) == sorted([document["sha256"], "notes.txt"])
    assert ann.get(f"/api/documents/{document['id']}/content").status_code == 200


def test_blobs_beside_an_empty_database_are_kept(start: Start, tmp_path: Path) -> None:
    """Ensure that a snapshot moved away does not cost the documents' bytes."""
    directory = tmp_path / "data" / "blobs"
    directory.mkdir(parents=True)
    tmp_path.joinpath("data").chmod(0o700)
    orphan = directory / hashlib.sha256(b"orphan").hexdigest()
    orphan.write_bytes(b"orphan")
    start()
    assert orphan.exists()


def test_memory_keeps_documents_too(start: Start) -> None:
    """Ensure that the whole job runs with data_dir=memory:."""
    ann = Api(start(data_dir="memory:")).register()
    document = ann.upload()
    assert ann.get(f"/api/documents/{document['id']}/content").status_code == 200


def test_bytes_live_as_long_as_history_names_them(start: Start, tmp_path: Path) -> None:
    """Ensure a deletion that is undone gives the document back with its bytes, also after a restart."""
    client = start()
    ann = Api(client).register()
    data = make_pdf(3)
    document = ann.upload(data)
    assert ann.delete(f"/api/documents/{document['id']}").status_code == 204
    assert blobs(tmp_path) == [document["sha256"]]
    ann.http = client = start()
    db = client.app.state.resources.db  # type: ignore[attr-defined]
    deletion = next(db.history.commits("documents", document["id"]))
    db.history.undo(deletion.sequence)
    assert ann.get(f"/api/documents/{document['id']}/content").content == data


@pytest.mark.parametrize("way", ["forget", "purge"])
@pytest.mark.parametrize("when", ["running", "restart"])
def test_bytes_go_with_the_history_that_names_them(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, when: str
) -> None:
    """Ensure bytes that no row and no kept commit names are removed, and all others stay."""
    monkeypatch.setattr("app.resources.SWEEP_SECONDS", 0.05)
    client = start()
    ann = Api(client).register()
    kept, deleted, gone = (ann.upload(make_pdf(pages)) for pages in (1, 2, 3))
    db = client.app.state.resources.db  # type: ignore[attr-defined]
    if when == "restart":
        monkeypatch.setattr("app.resources.SWEEP_SECONDS", 3600.0)
        ann.http = client = start()
        db = client.app.state.resources.db  # type: ignore[attr-defined]
    assert ann.delete(f"/api/documents/{gone['id']}").status_code == 204
    if way == "forget":
        db.history.forget(db.history.sequence)
    else:
        db.history.purge("documents", gone["id"])
    assert ann.delete(f"/api/documents/{deleted['id']}").status_code == 204
    if when == "restart":
        ann.http = start()
    wait_for(lambda: gone["sha256"] not in blobs(tmp_path))
    assert blobs(tmp_path) == sorted([kept["sha256"], deleted["sha256"]])
