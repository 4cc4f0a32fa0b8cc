"""The backend's backups: on a schedule, pruned, seen in /health, and whole while documents come and go."""

import logging
import threading
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from pydantic import ValidationError
from tests.app.conftest import Start
from tests.app.support import CHEAP_HASHING, PATIENCE, Api, make_pdf, run_in_process, serving, wait_for

from app.api.application import create_app
from app.files.blobs import Blobs
from app.resources import Resources
from app.services import backups
from app.settings import Settings
from snaptable.backup import back_up, backups_in
from snaptable.maintenance.restore import unpacked
from snaptable.storage.disk.files import Files

pytestmark = pytest.mark.memory_only("a server's database is backed up by its own tools")

OFTEN = ("--backup-every", "1s", "--backup-keep-last", "2", "--backup-keep-daily", "0", "--backup-keep-weekly", "0",
         "--backup-keep-monthly", "0")  # fmt: skip


def names(folder: Path) -> list[str]:
    """Return the names of the backups in a folder, the oldest first."""
    return sorted(path.name for path in folder.glob("backup-*"))


def settings(**options: Any) -> Settings:
    """Return settings for a test."""
    given: dict[str, Any] = {**CHEAP_HASHING, **options}
    return Settings(_env_file=None, **given)


def resources_of(client: Any) -> Resources:
    """Return what a running application owns."""
    resources: Resources = client.app.state.resources
    return resources


def report_of_the_first(api: Api) -> dict[str, Any]:
    """Return what /health says of backups, once one was made: the file is there a little earlier."""
    wait_for(lambda: api.get("/health").json()["backup"]["last_at"])
    report: dict[str, Any] = api.get("/health").json()["backup"]
    return report


def test_a_server_makes_prunes_tells_and_comes_back(tmp_path: Path) -> None:
    """Ensure a real server makes backups, keeps two, shows them in /health, and can be restored from the newest."""
    store, folder = tmp_path / "data", tmp_path / "backups"
    with serving(store, "--backup-dir", str(folder), *OFTEN) as server, server.client() as http:
        ann = Api(http).register()
        document = ann.upload(make_pdf(3))
        ann.annotate(document["id"])
        first = names(folder)
        wait_for(lambda: len(names(folder)) == 2 and not set(first) & set(names(folder)))
        health = ann.get("/health").json()
        assert health["status"] == "ok"
        assert set(health["backup"]) == {"last_at", "last_sequence", "bytes", "error", "error_at", "next_at"}
        assert health["backup"]["error"] is None
        assert health["backup"]["last_sequence"] >= 3
        assert health["backup"]["bytes"] > 1000
        assert http.get("/health").json() == {"status": "ok"}
        assert server.stop() == 0
        assert "verified" in server.output
        assert "Removed the backup" in server.output
    assert len(names(folder)) == 2
    with unpacked(folder / names(folder)[-1], store) as found:
        found.take_place()
    assert found.kept is not None
    with serving(store) as server, server.client() as http:
        ann.http = http
        assert ann.get("/api/documents").status_code == 401, "a restore ends every login"
        ann.log_in()
        assert ann.get(f"/api/documents/{document['id']}/content").content == make_pdf(3)
        assert len(ann.get(f"/api/annotations?document_id={document['id']}").json()["items"]) == 1
        assert ann.get("/health").json()["backup"] is None
        assert server.stop() == 0


def test_a_restart_makes_none_before_its_time(tmp_path: Path, start: Start) -> None:
    """Ensure the folder says when the next is due, so that restarts neither add backups nor forget one."""
    folder = tmp_path / "backups"
    options = {"backup_dir": str(folder), "backup_every": "1h"}
    for _ in range(3):
        client = start(**options)
        ann = Api(client, f"{time.time_ns()}@example.org").register()
        report = report_of_the_first(ann)
        due = datetime.fromisoformat(report["next_at"])
        assert timedelta(minutes=59) < due - datetime.now(UTC) <= timedelta(hours=1)
    assert len(names(folder)) == 1


def test_a_failure_is_told_and_tried_again(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure a folder that can't be written is an error in the log and in /health, without its path, until it works."""
    monkeypatch.setattr(backups, "RETRY", timedelta(seconds=0.3))
    folder = tmp_path / "backups"
    client = start(backup_dir=str(folder), backup_every="1s")
    ann = Api(client).register()
    wait_for(lambda: names(folder))
    real, failing = back_up, threading.Event()

    def fail(*arguments: Any, **options: Any) -> Any:
        if failing.is_set():
            raise OSError(28, "No space left on device", str(folder))
        return real(*arguments, **options)

    failing.set()
    monkeypatch.setattr(backups, "back_up", fail)
    with caplog.at_level(logging.ERROR, "app.backups"):
        wait_for(lambda: ann.get("/health").json()["backup"]["error"])
    body = ann.get("/health").json()
    assert body["status"] == "degraded"
    assert "No space left" in body["backup"]["error"]
    assert str(folder) not in str(body)
    assert body["backup"]["last_at"] is not None
    assert client.get("/health").json() == {"status": "degraded"}
    assert "The backup failed" in caplog.text
    failing.clear()
    wait_for(lambda: ann.get("/health").json()["status"] == "ok")


def test_documents_that_go_meanwhile_are_in_it(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure the bytes of a document that is deleted while a backup is made are in it."""
    client = start(backup_dir=str(tmp_path / "backups"), backup_every="1h")
    ann = Api(client).register()
    wait_for(lambda: names(tmp_path / "backups"))
    documents = [ann.upload(make_pdf(1, title=str(number))) for number in range(3)]
    owned = resources_of(client)
    assert owned.backups is not None
    deleted: list[int] = []

    def delete_one(_: int) -> None:
        if not deleted:
            deleted.append(1)
            for document in documents:
                assert ann.delete(f"/api/documents/{document['id']}").status_code == 204

    monkeypatch.setattr(owned.backups, "_check_stopped", delete_one)
    owned.backups.make()
    newest = tmp_path / "backups" / names(tmp_path / "backups")[-1]
    with zipfile.ZipFile(newest) as zipped:
        inside = {name.partition("/")[2] for name in zipped.namelist() if name.startswith("blobs/")}
    assert {document["sha256"] for document in documents} <= inside
    with unpacked(newest, tmp_path / "copy") as found:
        assert found.rows["documents"] == 3


def test_two_in_one_second(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a backup made by hand in the second of a scheduled one is one more, no failure, and the newest."""
    folder = tmp_path / "backups"
    client = start(backup_dir=str(folder), backup_every="1h")
    wait_for(lambda: names(folder))
    owned = resources_of(client)
    assert owned.backups is not None
    monkeypatch.setattr("time.time_ns", lambda: 4_000_000_000_000_000_000)
    for _ in range(3):
        owned.backups.make()
    assert owned.backups.report.error is None
    found = backups_in(Files(folder))
    assert [each.number for each in found][:3] == [3, 2, 1]
    assert len({(each.at, each.sequence) for each in found[:3]}) == 1


def test_no_blob_goes_while_they_are_held(tmp_path: Path) -> None:
    """Ensure a removal that is asked for meanwhile, or by a sweep, waits for the last of those who hold the blobs."""
    (tmp_path / "data").mkdir(mode=0o700)
    blobs = Blobs(Files(tmp_path / "data"), lambda _: False)
    name, other = "a" * 64, "b" * 64
    for each in (name, other):
        blobs.path(each).write_bytes(b"x")
    with blobs.held():
        with blobs.held():
            blobs.collect(name)
            with blobs.pinned(other):
                blobs.collect(other)
        assert blobs.sweep(any_referenced=True, named=lambda _: set()) == 0
        assert blobs.path(name).exists()
        assert blobs.path(other).exists()
    assert not blobs.path(name).exists()
    assert not blobs.path(other).exists()


def test_a_stop_does_not_wait_for_a_backup(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a backup that is under way ends with the server, leaving no file with a name."""
    reached, was_told = threading.Event(), list[bool]()
    real = backups.Backups._check_stopped

    def slow(self: backups.Backups, count: int) -> None:
        reached.set()
        was_told.append(self._stop.wait(PATIENCE))
        real(self, count)

    monkeypatch.setattr(backups.Backups, "_check_stopped", slow)
    start(backup_dir=str(tmp_path / "backups"), backup_every="1h")
    assert reached.wait(PATIENCE)
    start()
    wait_for(lambda: not list((tmp_path / "backups").iterdir()))
    assert was_told == [True]


def test_another_stores_backups_are_left_alone(tmp_path: Path, start: Start) -> None:
    """Ensure pruning removes nothing but backups of this very store."""
    folder = tmp_path / "backups"
    folder.mkdir(mode=0o700)
    foreign = [f"backup-2020010{day}T000000Z-1-ffffffff.zip" for day in range(1, 9)]
    for name in (*foreign, "letter.txt"):
        (folder / name).write_text("mine")
    client = start(backup_dir=str(folder), backup_every="1s", backup_keep_last=1, backup_keep_daily=0,
                   backup_keep_weekly=0, backup_keep_monthly=0)  # fmt: skip
    owned = resources_of(client)
    assert owned.backups is not None
    wait_for(lambda: len(names(folder)) > len(foreign))
    owned.backups.make()
    assert set(foreign) <= set(names(folder))
    assert len(names(folder)) <= len(foreign) + 2
    assert (folder / "letter.txt").exists()


def test_encrypted_for_a_key_that_the_server_lacks(tmp_path: Path, start: Start) -> None:
    """Ensure backups can be encrypted for a public key."""
    key = pyrage.x25519.Identity.generate()
    start(backup_dir=str(tmp_path / "backups"), backup_to=str(key.to_public()))
    wait_for(lambda: names(tmp_path / "backups"))
    (name,) = names(tmp_path / "backups")
    assert name.endswith(".zip.age")
    assert pyrage.decrypt((tmp_path / "backups" / name).read_bytes(), [key]).startswith(b"PK")


@pytest.mark.parametrize("period", ["", "24", "h", "0s", "0.5s", "-1h", "1y", "1h30min", "1e9d"])
def test_periods_that_are_none(period: str) -> None:
    """Ensure what is no time between two backups is refused."""
    with pytest.raises(ValidationError, match="24h, 30min, 7d"):
        settings(backup_every=period)


def test_periods() -> None:
    """Ensure each unit."""
    for text, period in (("90s", 90), ("30min", 1800), ("24h", 86_400), ("7d", 604_800), ("1.5h", 5400)):
        assert settings(backup_every=text).backup_period == timedelta(seconds=period)


def test_settings_that_can_make_none(tmp_path: Path) -> None:
    """Ensure a start with a folder, a key or a store that backups can't be made with fails at once, saying why."""
    with pytest.raises(ValidationError, match="nothing to back up"):
        settings(backup_dir=str(tmp_path), data_dir="memory:")
    inside = str(tmp_path / "data" / "blobs")
    for options, reason in (
        (("--backup-dir", inside), "among the store's own files"),
        (("--backup-dir", str(tmp_path / "b"), "--backup-to", "nobody"), "no public key"),
    ):
        status, output = run_in_process(["--data-dir", str(tmp_path / "data"), "--port", "0", *options])
        assert status == 1
        assert "backups can't be made: " in output
        assert reason in output
    assert create_app(settings(data_dir=str(tmp_path / "other"))) is not None


def test_health_never_waits_for_the_folder(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure /health answers from memory: the folder may be on a disk elsewhere that has gone silent."""
    client = start(backup_dir=str(tmp_path / "backups"), backup_every="1h")
    ann = Api(client).register()
    wait_for(lambda: ann.get("/health").json()["backup"]["last_at"])

    def silent(*_: Any, **__: Any) -> None:
        raise AssertionError("the folder was asked")

    monkeypatch.setattr(backups.Backups, "look", silent)
    monkeypatch.setattr(backups.Backups, "_mine", silent)
    assert ann.get("/health").json()["backup"]["last_sequence"] >= 0
