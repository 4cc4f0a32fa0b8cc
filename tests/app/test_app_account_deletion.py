"""Deleting an account: unusable at once, gone in slices, whatever ends the process in between.

Ensures that nothing of the account is left, that nothing of others goes, and that no slice is long.
"""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.app.conftest import Start
from tests.app.support import CHEAP_HASHING, PASSWORD, Api, check_problem, make_pdf, pointers, wait_for
from tests.growth import assert_proportional

from app.api.application import create_app
from app.files.blobs import Blobs
from app.files.staged_blob import StagedBlob
from app.library import Library
from app.resources import Resources
from app.services import documents, erasure, forgetting, removed, users
from app.services.erasure import SLICE, Erasure
from app.settings import Settings
from app.tables import Annotation, Document, Session, User
from snaptable import ReadOnlyStore
from snaptable.engines.observers import observed_filesystem
from snaptable.history import Commit
from snaptable.storage.disk.files import Files
from snaptable.testing import AppFixture


def delete(api: Api, password: str = PASSWORD) -> Any:
    """Ask for the account to be deleted."""
    return api.request("DELETE", "/api/auth/me", json={"password": password})


def db_of(client: TestClient) -> Library:
    """Return the database of the application in this process."""
    db: Library = client.app.state.db  # type: ignore[attr-defined]
    return db


def fill(api: Api, documents: int = 2, marks: int = 3) -> None:
    """Store something of every kind."""
    for number in range(documents):
        document = api.upload(make_pdf(3, title=f"{api.email} {number}"))
        for _ in range(marks):
            api.annotate(document["id"])
            api.extract(document["id"])


def rows_of(db: Library) -> dict[str, int]:
    """Return the number of rows by table."""
    return {
        table: getattr(db, table).count() for table in ("users", "sessions", "documents", "extractions", "annotations")
    }


def test_an_upload_that_outlives_its_account_leaves_nothing(
    ann: Api, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a file which was on its way when the account went is refused as after a logout, and its bytes go."""
    is_there, is_gone = threading.Event(), threading.Event()
    publish = StagedBlob.publish

    def publish_late(staged: StagedBlob) -> None:
        is_there.set()
        assert is_gone.wait(30)
        publish(staged)

    monkeypatch.setattr(StagedBlob, "publish", publish_late)
    with ThreadPoolExecutor(1) as pool:
        uploading = pool.submit(ann.post, "/api/documents", files={"file": ("late.pdf", make_pdf(2))})
        assert is_there.wait(30)
        try:
            assert delete(ann).status_code == 204
            wait_for(lambda: db_of(client).users.count() == 0)
        finally:
            is_gone.set()
        check_problem(uploading.result(), 401)
    assert list((tmp_path / "data" / "blobs").iterdir()) == []


def test_everything_of_the_account_goes_and_nothing_of_others(
    ann: Api, bob: Api, client: TestClient, tmp_path: Path
) -> None:
    """Ensure rows, sessions and bytes, but for the bytes that another user has too."""
    fill(ann)
    fill(bob)
    shared = make_pdf(2, title="both have it")
    ann.upload(shared)
    kept = bob.upload(shared)
    other = Api(client).log_in()
    assert delete(ann).status_code == 204
    for api in (ann, other):
        check_problem(api.get("/api/auth/me"), 401)
    check_problem(client.post("/api/auth/login", data={"username": ann.email, "password": PASSWORD}), 401)
    db = db_of(client)
    wait_for(lambda: db.users.count() == 1)
    assert rows_of(db) == {"users": 1, "sessions": 1, "documents": 3, "extractions": 6, "annotations": 6}
    # History names the bytes of what is deleted; they go with it.
    stored = {path.name for path in (tmp_path / "data" / "blobs").iterdir()}
    named = {row.sha256 for row in db.documents.where().all()}
    assert stored - named == documents.named_in_history(db, stored - named)
    assert named < stored
    assert bob.get(f"/api/documents/{kept['id']}/content").content == shared
    assert db.check() == []


def test_the_address_is_free_at_once_and_the_new_account_is_empty(ann: Api, client: TestClient) -> None:
    """Ensure that the e-mail address is not kept, and its next owner sees nothing of the former one."""
    fill(ann)
    assert delete(ann).status_code == 204
    assert ann.email not in str(db_of(client).users.where(User.deleted_at != None).all())  # noqa: E711
    again = Api(client).register()
    assert again.get("/api/documents").json()["items"] == []


def test_a_wrong_password_deletes_nothing_and_counts(start: Start) -> None:
    """Ensure that a stolen token deletes no account, and is no way to guess the password."""
    client = start(login_failures=3)
    ann = Api(client).register()
    for _ in range(3):
        assert pointers(delete(ann, "not this one")) == ["/password"]
    check_problem(delete(ann), 429)
    assert ann.get("/api/auth/me").status_code == 200


def populate(db: Library, annotations: int, sessions: int = 0) -> User:
    """Add a user with one document and this many annotations."""
    user = users.register(db, "many@example.org", "x")
    fields: dict[str, Any] = {"filename": "a.pdf", "total_pages": 3, "size": 1, "sha256": "0" * 64, "metadata": {}}
    document = db.documents.insert(Document(user_id=user.id, **fields))
    mark: dict[str, Any] = {"page_num": 1, "type": "note", "coordinates": {}, "content": None, "color": None}
    db.annotations.insert_many(Annotation(user_id=user.id, document_id=document.id, **mark) for _ in range(annotations))
    now = user.created_at
    db.sessions.insert_many(
        Session(user_id=user.id, token_sha256=str(each), created_at=now, expires_at=now) for each in range(sessions)
    )
    return user


def erasing(db: Library, tmp_path: Path) -> Erasure:
    """Return what removes accounts of this database."""
    return Erasure(db, Blobs(Files(tmp_path), lambda _: False))


def test_no_commit_takes_more_than_a_slice(tmp_path: Path) -> None:
    """Ensure that the size of an account is the number of its slices, not their length."""
    with Library("memory:", banner=False) as db:
        user = populate(db, 5 * SLICE + 7, sessions=2 * SLICE + 7)
        db.users.update(user.id, deleted_at=user.created_at)
        begun = db.status().sequence
        asyncio.run(erasing(db, tmp_path).finish())
        assert rows_of(db) == dict.fromkeys(rows_of(db), 0)
        sizes = [len(commit.changes) for commit in db.history.commits() if commit.sequence > begun]
        assert max(sizes) <= SLICE
        assert sum(size == SLICE for size in sizes) >= 5


def test_a_slice_costs_the_same_however_much_is_left(tmp_path: Path) -> None:
    """Ensure that the whole is in proportion to the rows: no slice looks through what it leaves."""

    def make(rows: int) -> Library:
        db = Library("memory:", banner=False)
        db.open()
        populate(db, rows)
        return db

    def remove_slices(db: Library) -> None:
        (user,) = db.users.where().all()
        with contextlib.suppress(InterruptedError), db.transaction():
            for _ in range(10):
                erasure._remove_rows(db, user.id)
            raise InterruptedError  # rolled back, so that it can be measured again

    assert_proportional(remove_slices, make, 10 * SLICE)


def test_a_restart_goes_on_with_what_was_begun(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that an account whose removal a stop cut short is unusable after the start, then gone."""
    client = start()
    ann = Api(client).register()
    fill(ann)

    async def never(_: Erasure) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Erasure, "run", never)
        client = start()
        ann.http = client
        assert delete(ann).status_code == 204
        client = start()
        ann.http = client
        check_problem(ann.get("/api/auth/me"), 401)
        check_problem(client.post("/api/auth/login", data={"username": ann.email, "password": PASSWORD}), 401)
        assert rows_of(db_of(client))["annotations"] == 6
    client = start()
    wait_for(lambda: db_of(client).users.count() == 0)
    assert sum(rows_of(db_of(client)).values()) == 0


def test_a_store_that_takes_no_writes_is_tried_again(
    client: TestClient, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that a failed slice is neither the end of the removal nor of the server's other tasks."""
    fill(ann)
    monkeypatch.setattr(erasure, "RETRY_SECONDS", 0.01)
    remove, failures = erasure._remove_rows, iter(range(3))

    def fail_first(db: Library, user_id: str) -> int:
        if next(failures, None) is not None:
            raise ReadOnlyStore("no writes")
        return remove(db, user_id)

    monkeypatch.setattr(erasure, "_remove_rows", fail_first)
    assert delete(ann).status_code == 204
    wait_for(lambda: db_of(client).users.count() == 0)


def test_an_account_whose_deletion_is_taken_back_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that nothing more goes once an admin has undone the deletion, while the removal waits to go on."""
    with Library("memory:", banner=False) as db:
        user = populate(db, 2 * SLICE)
        db.users.update(user.id, deleted_at=user.created_at)
        deletion, remove, slices = db.history.sequence, erasure._remove_rows, iter(range(1))

        def remove_one(db: Library, user_id: str) -> int:
            if next(slices, None) is None:
                raise ReadOnlyStore("no writes")
            return remove(db, user_id)

        removal = erasing(db, tmp_path)
        monkeypatch.setattr(erasure, "_remove_rows", remove_one)
        with pytest.raises(ReadOnlyStore):
            asyncio.run(removal.finish())
        monkeypatch.undo()
        db.history.undo(deletion)
        left = rows_of(db)
        asyncio.run(removal.finish())
        assert rows_of(db) == left
        assert left["users"] == 1


@pytest.mark.parametrize("seed", range(2))
def test_a_crash_at_any_operation_leaves_the_account_whole_or_unusable(snaptable_app: AppFixture, seed: int) -> None:
    """Ensure, at sampled file operations, that what was answered holds, and the next start removes the rest."""

    def make(directory: Path) -> FastAPI:
        def disk(path: Path, /, *, fsync: bool) -> Files:
            filesystem = observed_filesystem(resources.db, path)
            assert filesystem is not None
            return filesystem(path, fsync=fsync)

        options: dict[str, Any] = {"data_dir": str(directory), **CHEAP_HASHING}
        resources = Resources(Settings(_env_file=None, **options), disk)
        return create_app(resources=resources)

    app = snaptable_app(make, raise_server_exceptions=False)
    ann, bob = Api(app.client).register(), Api(app.client, "bob@example.org").register()
    fill(ann, documents=2, marks=1)
    fill(bob, documents=1, marks=1)
    answers: list[int] = []
    ann.http = bob.http = app.power_loss(during=lambda: answers.append(delete(ann).status_code), seed=seed)
    is_usable = ann.get("/api/auth/me").status_code == 200
    assert not (is_usable and answers == [204])
    db = app.db
    assert isinstance(db, Library)
    if is_usable:
        assert len(ann.get("/api/documents").json()["items"]) == 2
    else:
        wait_for(lambda: db.users.count() == 1)
        assert rows_of(db) == {"users": 1, "sessions": 1, "documents": 1, "extractions": 1, "annotations": 1}
    assert len(bob.get("/api/documents").json()["items"]) == 1
    assert db.check() == []


# ── erased from history too, where the settings say so ──────────────────────────────────────────────────────────────


def everything_below(directory: Path) -> bytes:
    """Return the bytes, and the names, of every file of the store."""
    return b"".join(str(path).encode() + path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def names_in(commit: Commit) -> set[str]:
    """Return the names of the blobs of the documents that a commit added."""
    return {str(each.after["sha256"]) for each in commit.changes if each.table == "documents" and each.after}


def purged(db: Library) -> list[str | None]:
    """Return the notes of the commits that record purges."""
    return [commit.note for commit in db.history.commits() if commit.note and commit.note.startswith("purged")]


def test_history_forgets_where_the_settings_say_so(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    """Ensure no file has a value of the account, nor its bytes, others' are all there, and a receipt says so."""
    client = start(purge_deleted_accounts=True)
    ann, bob = Api(client).register(), Api(client, "bob@example.org").register()
    fill(ann)
    fill(bob)
    secret = ann.upload(make_pdf(1, title="nobody else's"), "lovelace-secret.pdf")
    assert ann.delete(f"/api/documents/{secret['id']}").status_code == 204
    db = db_of(client)
    (user_id,) = [user.id for user in db.users if user.email == ann.email]
    owned = {row.sha256 for row in db.documents.where(user_id=user_id)} | {secret["sha256"]}
    with caplog.at_level("INFO", "app.security"):
        assert delete(ann).status_code == 204
        wait_for(lambda: purged(db) != [])
        wait_for(lambda: "account purged" in caplog.text)
    assert rows_of(db)["documents"] == 2
    assert f"account purged account={user_id} rows=users:1,documents:3" in caplog.text
    assert ann.email not in caplog.text
    (record,) = [commit for commit in db.history.commits() if commit.note in purged(db)]
    assert (record.actor, record.via) == (user_id, "account deletion")
    stored = {path.name for path in (tmp_path / "data" / "blobs").iterdir()}
    assert not owned & stored
    assert len(stored) == 2
    start()
    written = everything_below(tmp_path / "data")
    for text in (ann.email, "lovelace-secret", *owned):
        assert text.encode() not in written, text
    assert engine == "postgres" or bob.email.encode() in written


def test_by_default_a_deletion_can_be_taken_back(ann: Api, client: TestClient) -> None:
    """Ensure that without the setting history keeps what was deleted."""
    fill(ann, documents=1)
    assert delete(ann).status_code == 204
    db = db_of(client)
    wait_for(lambda: db.users.count() == 0)
    assert purged(db) == []
    (stored,) = {name for commit in db.history.commits("documents") for name in names_in(commit)}
    assert documents.named_in_history(db, {stored}) == {stored}


def test_what_a_crash_left_and_what_was_deleted_before_is_forgotten(tmp_path: Path) -> None:
    """Ensure that history tells which accounts are left to be purged, whatever ended the process, and no others."""
    blobs = Blobs(Files(tmp_path), lambda _: False)
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        gone, kept, undone = (users.register(db, f"{name}@example.org", "x") for name in ("gone", "kept", "undone"))
        for user in (gone, undone):
            db.users.update(user.id, email=f"deleted:{user.id}", deleted_at=user.created_at)
            db.users.delete(user.id)
        db.history.undo(db.history.sequence)
        holder = removed.hold(db, gone.id)
        other = removed.hold(db, kept.id)
        db.users.delete(holder.id)
        db.users.delete(other.id)
        assert set(forgetting.pending(db)) == {gone.id, holder.id}
        forgetting.forget(db, blobs, gone.id)
        assert forgetting.pending(db) == [holder.id]
    with Library(tmp_path / "data", banner=False, fsync=False) as db:
        db.users.update(undone.id, deleted_at=None)
        asyncio.run(Erasure(db, blobs, purge=True).finish())
        assert forgetting.pending(db) == []
        assert {user.id for user in db.users} == {kept.id, undone.id}
        assert len(purged(db)) == 2


def test_a_purge_that_fails_is_tried_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a store which takes no writes meanwhile loses no purge, and the other tasks go on."""
    monkeypatch.setattr(erasure, "RETRY_SECONDS", 0.01)
    forget, failures = forgetting.forget, iter(range(2))

    def fail_first(*arguments: Any) -> Any:
        if next(failures, None) is not None:
            raise ReadOnlyStore("no writes")
        return forget(*arguments)

    monkeypatch.setattr(forgetting, "forget", fail_first)
    client = start(purge_deleted_accounts=True)
    ann = Api(client).register()
    assert delete(ann).status_code == 204
    wait_for(lambda: purged(db_of(client)) != [])
    assert next(failures, None) is None
