"""Encrypted backups: for keys or with a passphrase, read back before they have their name, opened by nobody else."""

import builtins
import io
import os
import sys
from pathlib import Path
from typing import Any

import pyrage
import pytest
from tests.snaptable.backup.support import Store, blob, contents, fill, rows_of
from tests.snaptable.backup.test_restore import restore

from snaptable import BackupError
from snaptable.backup import encryption
from snaptable.backup.encryption import Decryption

SSH_PRIVATE = b"""-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACC2EQyVHWw0z3JvzHW5s5S8m4CbiJBjyhaIEkHsj4ph4QAAAJh8dIcOfHSH
DgAAAAtzc2gtZWQyNTUxOQAAACC2EQyVHWw0z3JvzHW5s5S8m4CbiJBjyhaIEkHsj4ph4Q
-----END OPENSSH PRIVATE KEY-----
"""
"""Not a whole key: of a kind that can't be read."""


@pytest.fixture
def key() -> pyrage.x25519.Identity:
    """Give a private key."""
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def db(tmp_path: Path) -> Any:
    """Give an open store with rows and a blob of a megabyte."""
    blob(tmp_path / "data", "aa", os.urandom(1 << 20))
    with Store(tmp_path / "data", fsync=False, banner=False) as db:
        fill(db)
        yield db


def keys_of(key: pyrage.x25519.Identity) -> Decryption:
    """Return what opens a backup, from a file of keys as age writes it."""
    return Decryption.of([f"# created: today\n# public key: {key.to_public()}\n{key}\n".encode()])


def test_for_keys(tmp_path: Path, db: Store, key: pyrage.x25519.Identity) -> None:
    """Ensure any of the recipients opens it, age itself too, others don't, and nothing plain ever is on the disk."""
    other, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    recipients = [str(key.to_public()), str(other.to_public())]
    made = db.backup(tmp_path, recipients=recipients)
    assert made.encrypted
    assert made.path.name.endswith(".zip.age")
    assert b"blobs/aa" not in made.path.read_bytes()
    assert pyrage.decrypt(made.path.read_bytes(), [other]).startswith(b"PK")
    for identity in (key, other):
        found = restore(made.path, tmp_path / "copy", decryption=keys_of(identity))
        assert found.rows == made.rows
    with pytest.raises(BackupError, match="can't be decrypted: it is for other keys"):
        restore(made.path, tmp_path / "copy", decryption=keys_of(stranger))
    with pytest.raises(BackupError, match="is encrypted: name the file of your keys"):
        restore(made.path, tmp_path / "copy")
    with Store(tmp_path / "copy", banner=False) as copy:
        assert rows_of(copy) == rows_of(db)
    assert contents(tmp_path / "copy")["blobs/aa"] == contents(tmp_path / "data")["blobs/aa"]
    assert not list(tmp_path.glob("*.restoring-*"))


def test_with_a_passphrase(tmp_path: Path, db: Store) -> None:
    """Ensure the passphrase opens it."""
    made = db.backup(tmp_path / "x.zip.age", passphrase="correct horse")
    restore(made.path, tmp_path / "copy", decryption=Decryption.of(passphrase="correct horse"))
    with Store(tmp_path / "copy", banner=False) as copy:
        assert rows_of(copy) == rows_of(db)


def test_a_busy_machine_is_timed_again(tmp_path: Path, db: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a backup opens though age first finds this machine too slow for it, and that a slow one is told so."""
    made = db.backup(tmp_path / "x.zip.age", passphrase="correct horse")
    decrypt, timings = pyrage.passphrase.decrypt, iter([64, 32])

    def busy(data: bytes, passphrase: str) -> bytes:
        """Refuse what would take long, as age does by the seconds that it has measured."""
        if seconds := next(timings, 0):
            raise pyrage.DecryptError(
                f"Excessive work parameter for passphrase.\nDecryption would take around {seconds} seconds."
            )
        return decrypt(data, passphrase)

    monkeypatch.setattr(pyrage.passphrase, "decrypt", busy)
    monkeypatch.setattr(encryption, "PAUSE", 0.0)
    restore(made.path, tmp_path / "copy", decryption=Decryption.of(passphrase="correct horse"))
    assert (tmp_path / "copy" / "db_snapshot.json").exists()
    timings = iter([64] * 100)
    with pytest.raises(BackupError, match=r"too slow, or too busy now, [\s\S]* around 64 seconds.*; try again"):
        restore(made.path, tmp_path / "other", decryption=Decryption.of(passphrase="correct horse"))
    assert not (tmp_path / "other").exists()


def test_damage_is_found(tmp_path: Path, db: Store, key: pyrage.x25519.Identity) -> None:
    """Ensure a changed or missing byte anywhere is refused, and what was decrypted before it is gone again."""
    made = db.backup(tmp_path / "x.zip.age", recipients=[str(key.to_public())])
    sound, damaged = made.path.read_bytes(), tmp_path / "damaged"
    end = len(sound)
    for place in (0, 10, 100, 200, 300, 400, 1000, end // 2, end - 100_000, end - 1):
        damaged.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(BackupError):
            restore(damaged, tmp_path / "copy", decryption=keys_of(key))
    for data in (sound[: end // 2], sound[:-1], sound + b"\0", sound[:30]):
        damaged.write_bytes(data)
        with pytest.raises(BackupError):
            restore(damaged, tmp_path / "copy", decryption=keys_of(key))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "data", "x.zip.age"]


def test_what_is_read_back_must_be_what_was_written(
    tmp_path: Path, db: Store, key: pyrage.x25519.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure a disk that lost bytes is found out before the backup has its name, encrypted or not."""
    from snaptable.storage.disk.files import Files

    def forgetful(self: Files, name: str) -> Any:
        data = (self.root / name).read_bytes()
        return io.BytesIO(data[:5000] + b"\0" + data[5001:] if name.startswith(".backup.") else data)

    monkeypatch.setattr(Files, "open", forgetful)
    for recipients in ([], [str(key.to_public())]):
        with pytest.raises(BackupError):
            db.backup(tmp_path / "x.zip", recipients=recipients)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "wrong", ["", "age1", "age1xyz", "AGE-SECRET-KEY-1QQQ", "ssh-ed25519 AAAA", "hello", "age1\nage1", "ssh-rsa"]
)
def test_what_is_no_public_key(tmp_path: Path, db: Store, wrong: str) -> None:
    """Ensure a recipient that is none is refused before anything is written; a private key is not repeated."""
    with pytest.raises(BackupError, match=r"no public key|a private one") as caught:
        db.backup(tmp_path / "x.zip", recipients=[wrong])
    assert "QQQ" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_misuse(tmp_path: Path, db: Store, key: pyrage.x25519.Identity) -> None:
    """Ensure both ways at once, an empty passphrase, a text for a list, and files without keys are told."""
    public = str(key.to_public())
    with pytest.raises(BackupError, match="not both"):
        db.backup(tmp_path / "x.zip", recipients=[public], passphrase="x")
    with pytest.raises(BackupError, match="passphrase is empty"):
        db.backup(tmp_path / "x.zip", passphrase="")
    with pytest.raises(BackupError, match="a list of public keys, not one text"):
        db.backup(tmp_path / "x.zip", recipients=public)
    for content in (b"", b"# nothing", b"\xff\xfe", str(key)[:-5].encode(), public.encode(), SSH_PRIVATE):
        with pytest.raises(BackupError, match="a file of keys holds lines AGE-SECRET-KEY-1") as caught:
            Decryption.of([content])
        assert str(key)[20:40] not in str(caught.value)


def test_without_the_extra(tmp_path: Path, db: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure plain backups need nothing, and encrypted ones say what to install."""
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pyrage":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "pyrage")
    monkeypatch.setattr(builtins, "__import__", without)
    db.backup(tmp_path / "x.zip")
    for options in ({"recipients": ["age1x"]}, {"passphrase": "x"}):
        with pytest.raises(BackupError, match=r'pip install "snaptable\[backup\]"'):
            db.backup(tmp_path / "y.zip", **options)
    with pytest.raises(BackupError, match=r'pip install "snaptable\[backup\]"'):
        Decryption.of([b"AGE-SECRET-KEY-1X"])


def test_a_disk_that_fills_up_while_it_is_encrypted(
    tmp_path: Path, db: Store, key: pyrage.x25519.Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure the error of the disk is told, not age's, nothing waits for ever, and no file is left."""
    from snaptable.storage.disk.files import File

    written = 0
    real = File.write

    def full(self: File, buffers: Any) -> None:
        nonlocal written
        written += sum(map(len, buffers))
        if written > 200_000:
            raise OSError(28, os.strerror(28))
        real(self, buffers)

    monkeypatch.setattr(File, "write", full)
    with pytest.raises(BackupError, match="the disk is full"):
        db.backup(tmp_path / "x.zip", recipients=[str(key.to_public())])
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
