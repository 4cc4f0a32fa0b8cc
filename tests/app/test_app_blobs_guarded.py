"""The folder of blobs, guarded as the store is: nothing is read or written through what is not a plain file of ours."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.conftest import Start
from tests.app.support import Api, make_pdf

from app.main import main
from snaptable import UnsafeDirectory


def link_away(path: Path) -> None:
    """Put a symlink to the very bytes in the place of a blob."""
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replace_by_pipe(path: Path) -> None:
    """Put a pipe in the place of a blob."""
    path.unlink()
    os.mkfifo(path)


def replace_by_folder(path: Path) -> None:
    """Put a folder in the place of a blob."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [link_away, replace_by_pipe, replace_by_folder])
def test_a_blob_is_a_plain_file(ann: Api, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Ensure what took a blob's place is 500, though the bytes behind it are right, and that a check names it."""
    document = ann.upload()
    content = f"/api/documents/{document['id']}/content"
    damage(tmp_path / "data" / "blobs" / document["sha256"])
    for headers in ({}, {"Range": "bytes=0-3"}):
        response = ann.get(content, headers=headers)
        assert response.status_code == 500
        assert b"PDF-" not in response.content
    assert main(["check", f"--data-dir={tmp_path / 'data'}"]) == 1


def test_a_blob_belongs_to_us(ann: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure another user's file in a blob's place is not sent."""
    document = ann.upload()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert ann.get(f"/api/documents/{document['id']}/content").status_code == 500


@pytest.mark.parametrize("how", ["symlink", "open to all"])
def test_an_unsafe_folder_is_refused(start: Start, tmp_path: Path, how: str) -> None:
    """Ensure the backend neither starts with it, nor, once it took the folder's place, writes or reads there."""
    ann = Api(start()).register()
    document = ann.upload()
    folder, elsewhere = tmp_path / "data" / "blobs", tmp_path / "elsewhere"
    if how == "symlink":
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
    else:
        folder.chmod(0o777)
    before = sorted(path.name for path in folder.iterdir())
    files = {"file": ("a.pdf", make_pdf(2), "application/pdf")}
    assert ann.get(f"/api/documents/{document['id']}/content").status_code == 500
    assert ann.post("/api/documents", files=files).status_code == 503
    with pytest.raises(UnsafeDirectory, match="blobs"):
        start()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_without_descriptors_nothing_is_begun(ann: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a download is 503, and no broken 200, if the file can't be opened; and works again afterwards."""
    document = ann.upload()
    content = f"/api/documents/{document['id']}/content"

    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        response = ann.get(content)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert ann.get(content).content == make_pdf()


def test_the_rest_of_what_was_begun(ann: Api) -> None:
    """Ensure If-Range gives the part where the bytes are those, all of them otherwise, and HEAD the head alone."""
    document = ann.upload()
    content, pdf = f"/api/documents/{document['id']}/content", make_pdf()
    whole = ann.get(content)
    for condition in (whole.headers["etag"], whole.headers["last-modified"]):
        part = ann.get(content, headers={"Range": "bytes=5-", "If-Range": condition})
        assert (part.status_code, part.content) == (206, pdf[5:])
        assert part.headers["content-range"] == f"bytes 5-{len(pdf) - 1}/{len(pdf)}"
        assert part.headers["content-length"] == str(len(pdf) - 5)
    other = ann.get(content, headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, pdf)
    head = ann.request("HEAD", content)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(pdf)))
