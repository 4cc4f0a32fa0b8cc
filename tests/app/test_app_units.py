"""Parts of the backend by themselves: blobs, passwords, limits, options."""

import asyncio
import gc
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest
import uvicorn
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from tests.app.support import CHEAP_HASHING, PASSWORD, make_pdf

from app.api.content import content_disposition
from app.errors import TooBusy, TooLarge, TooManyAttempts
from app.files import pdf_pages
from app.files.blobs import Blobs
from app.files.page_counter import PageCounter
from app.files.pdf_pages import NotAPdf
from app.files.staged_blob import StagedBlob
from app.resources import Resources
from app.security.emails import canonical_email
from app.security.login_limits import LoginLimits
from app.security.passwords import Passwords
from app.server import COLLECTIONS, Server
from app.services import accounts, uploads
from app.services.documents import clean_filename
from app.settings import Settings
from app.tables import Document
from snaptable.storage.disk.files import Files


class Referenced(set[str]):
    """Names of blobs that rows refer to."""


@pytest.fixture
def referenced() -> Referenced:
    """Give an empty set of names."""
    return Referenced()


@pytest.fixture
def blobs(tmp_path: Path, referenced: Referenced) -> Blobs:
    """Give an empty directory of blobs."""
    return Blobs(Files(tmp_path), referenced.__contains__)


def put(blobs: Blobs, data: bytes) -> str:
    """Store bytes and return their name."""
    with blobs.stage(io.BytesIO(data), 10_000) as staged:
        staged.publish()
        return staged.sha256


def test_a_pinned_blob_is_collected_when_its_last_pin_goes(blobs: Blobs) -> None:
    """Ensure that a download is not cut short by a delete, and the bytes go afterwards."""
    name = put(blobs, b"bytes")
    with blobs.pinned(name), blobs.pinned(name):
        blobs.collect(name)
        assert blobs.path(name).exists()
    assert not blobs.path(name).exists()


def test_an_upload_of_what_is_being_collected_wins(blobs: Blobs, referenced: Referenced) -> None:
    """Ensure that bytes that are referred to again while a delete waits are not removed."""
    name = put(blobs, b"bytes")
    with blobs.pinned(name):
        blobs.collect(name)
        referenced.add(name)
    assert blobs.path(name).exists()
    referenced.clear()
    blobs.collect(name)
    assert not blobs.path(name).exists()


def test_uploads_and_deletes_of_one_blob_never_lose_it(blobs: Blobs, referenced: Referenced) -> None:
    """Ensure, under contention, that a name committed always has its bytes."""
    lost = []

    def work() -> None:
        for _ in range(50):
            with blobs.stage(io.BytesIO(b"same"), 100) as staged, blobs.pinned(staged.sha256):
                staged.publish()
                referenced.add(staged.sha256)
                if not blobs.path(staged.sha256).exists():
                    lost.append(1)
                referenced.discard(staged.sha256)
                blobs.collect(staged.sha256)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert list(blobs.directory.iterdir()) == []


def test_what_only_history_names_is_bounded(tmp_path: Path, referenced: Referenced) -> None:
    """Ensure that uploading and deleting for ever fills no disk: the first deleted go first, what a row names stays."""
    blobs = Blobs(Files(tmp_path), referenced.__contains__, keep_bytes=250)
    names = [put(blobs, bytes([number]) * 100) for number in range(6)]
    referenced.add(names[1])
    with blobs.pinned(names[0]):
        for name in names[:4]:
            blobs.release(name)
        # The first is being sent, the second has a row again: the third goes, then there is room.
        assert [blobs.path(name).exists() for name in names] == [True, True, False, True, True, True]
    blobs.release(names[4])
    blobs.release(names[5])
    assert [blobs.path(name).exists() for name in names] == [False, True, False, False, True, True]
    again = Blobs(Files(tmp_path), referenced.__contains__, keep_bytes=100)
    again.sweep(any_referenced=True, named=lambda some: some)
    assert [blobs.path(name).exists() for name in names].count(True) == 2


def test_what_is_not_published_leaves_nothing(blobs: Blobs) -> None:
    """Ensure that refused and failed uploads are cleaned up."""
    with pytest.raises(TooLarge):
        blobs.stage(io.BytesIO(b"x" * 11), 10)
    with blobs.stage(io.BytesIO(b"x" * 10), 10) as staged:
        assert staged.size == 10
    assert list(blobs.directory.iterdir()) == []


@pytest.fixture
def passwords() -> Passwords:
    """Give cheap hashing."""
    return Passwords(memory_kib=64, passes=1, lanes=1)


def test_argon2_and_old_bcrypt_verify(passwords: Passwords) -> None:
    """Ensure that an old hash is right once and then replaced, and a new one is not."""

    async def check() -> None:
        old = bcrypt.hashpw(b"secret words", bcrypt.gensalt(4)).decode()
        verification = await passwords.verify("secret words", old)
        assert verification.right
        assert verification.new_hash is not None
        assert verification.new_hash.startswith("$argon2id$")
        again = await passwords.verify("secret words", verification.new_hash)
        assert (again.right, again.new_hash) == (True, None)
        assert not (await passwords.verify("other words", old)).right

    asyncio.run(check())
    passwords.close()


@pytest.mark.parametrize("stored", [None, "", "!", "$2b$04$tooshort", "plain"])
def test_nothing_verifies_against_what_is_no_hash(passwords: Passwords, stored: str | None) -> None:
    """Ensure that unknown users and damaged hashes are ordinary failures."""
    assert not asyncio.run(passwords.verify("secret words", stored)).right
    passwords.close()


@pytest.mark.parametrize("length", [71, 72, 73, 200])
def test_long_passwords_of_old_still_open(passwords: Passwords, length: int) -> None:
    """Ensure that bcrypt's 72 bytes neither crash nor lock out."""
    password = "é" * (length // 2)
    stored = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    assert asyncio.run(passwords.verify(password, stored)).right
    passwords.close()


def test_a_hash_of_another_form_opens_and_is_replaced(passwords: Passwords) -> None:
    """Ensure that a hash made of a decomposed password opens with just that, and gives way to one of NFKC."""
    typed, composed = "pa\u0308ssword", "p\u00e4ssword"
    old = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1),)).hash(typed)
    assert not asyncio.run(passwords.verify(composed, old)).right
    verification = asyncio.run(passwords.verify(typed, old))
    assert verification.right
    assert verification.new_hash is not None
    assert asyncio.run(passwords.verify(composed, verification.new_hash)).right
    assert not asyncio.run(passwords.verify(typed, None)).right
    passwords.close()


def attempts(**options: int) -> LoginLimits:
    """Return limits that are quickly reached."""
    defaults = {"failures": 2, "window": 60, "address_failures": 1000, "registrations": 2}
    return LoginLimits(**defaults | options)  # type: ignore[arg-type]  # the clock is no option here


def fail(limits: LoginLimits, account: str, address: str) -> bool:
    """Return whether an attempt was let through."""
    try:
        limits.begin_login(account, address)
    except TooManyAttempts:
        return False
    return True


def test_an_attack_from_everywhere_does_not_lock_the_owner_out() -> None:
    """Ensure that addresses known for an account, and each new one's first try, pass during an attack."""
    limits = attempts()
    limits.begin_login("ann", "192.0.2.1").succeeded()
    for number in range(60):
        address = f"198.51.100.{number}"
        fail(limits, "ann", address)
        fail(limits, "ann", address)
    assert not (fail(limits, "ann", "203.0.113.1") and fail(limits, "ann", "203.0.113.1"))
    assert fail(limits, "ann", "192.0.2.1")
    assert fail(limits, "ann", "203.0.113.2")


def test_one_ipv6_network_is_one_address() -> None:
    """Ensure that a client with 2^64 addresses counts once."""
    limits = attempts(address_failures=3)
    passed = [fail(limits, f"user{number}", f"2001:db8::{number:x}") for number in range(6)]
    assert passed == [True] * 3 + [False] * 3
    assert fail(limits, "user9", "2001:db8:0:1::1")


def test_side_by_side_attempts_count_before_they_end() -> None:
    """Ensure that a burst can't outrun the limit."""
    limits = attempts()
    assert [fail(limits, "ann", "192.0.2.1") for _ in range(5)] == [True, True, False, False, False]


def run_counter(work: Callable[[PageCounter], object], **options: float) -> None:
    """Run a coroutine function with a page counter, and close it."""

    async def run() -> None:
        counter = PageCounter(workers=1, **options)  # type: ignore[arg-type]
        try:
            await work(counter)  # type: ignore[misc]
        finally:
            await counter.close()

    asyncio.run(run())


def test_a_child_that_died_is_replaced(tmp_path: Path) -> None:
    """Ensure that the next PDF is read although a child was killed."""
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(7))

    async def work(counter: PageCounter) -> None:
        assert await counter.count(path) == 7
        process = counter._children[0]._process
        assert process is not None
        process.kill()
        await process.wait()
        with pytest.raises(NotAPdf):
            await counter.count(path)
        assert await counter.count(path) == 7

    run_counter(work)


def test_a_child_that_starts_slowly_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that the time until a child is ready is no document's."""
    path, go, slow = tmp_path / "a.pdf", tmp_path / "go", tmp_path / "slow.py"
    path.write_bytes(make_pdf(7))
    slow.write_text(
        "import pathlib, runpy, time\n"
        f"while not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.01)\n"
        f"runpy.run_path({pdf_pages.__file__!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(pdf_pages, "__file__", str(slow))

    async def work(counter: PageCounter) -> None:
        counted = asyncio.create_task(counter.count(path))
        await asyncio.sleep(0.3)
        counter.seconds = 60
        go.touch()
        assert await counted == 7

    run_counter(work, seconds=0.05)


def test_a_cancelled_count_does_not_answer_the_next(tmp_path: Path) -> None:
    """Ensure that an answer nobody waited for is never taken for another file's."""
    first, second = tmp_path / "a.pdf", tmp_path / "b.pdf"
    first.write_bytes(make_pdf(7))
    second.write_bytes(make_pdf(2))

    async def work(counter: PageCounter) -> None:
        await counter.count(first)
        task = asyncio.create_task(counter.count(first))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await counter.count(second) == 2

    run_counter(work)


def test_too_many_waiting_are_refused(tmp_path: Path) -> None:
    """Ensure that the queue for the children is bounded."""
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(1))

    async def work(counter: PageCounter) -> None:
        results = await asyncio.gather(*(counter.count(path) for _ in range(5)), return_exceptions=True)
        assert [isinstance(result, TooBusy) for result in results] == [False, False, False, True, True]

    run_counter(work, waiting=2)


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        (" ann@example.org ", "ann@example.org"),
        ("U\u0308ber@example.org", "über@example.org"),
        ("not an address", "not an address"),
        ("Ann@xn--bcher-kva.example.org", "ann@bücher.example.org"),
    ],
)
def test_addresses_have_one_form(address: str, canonical: str) -> None:
    """Ensure that spellings of one address are equal, and nothing crashes."""
    assert canonical_email(address) == canonical


def test_file_names_without_control_characters() -> None:
    """Ensure that what comes from a client can stand in a header and a page."""
    assert clean_filename("a\r\nSet-Cookie: x\x00.pdf") == "aSet-Cookie: x.pdf"
    assert clean_filename(None) == clean_filename("/") == "document.pdf"
    assert (
        content_disposition('a"b%;é.pdf')
        == "attachment; filename=\"a_b_;_.pdf\"; filename*=UTF-8''a%22b%25%3B%C3%A9.pdf"
    )


def test_an_upload_whose_client_has_gone_is_finished_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that cancelling between bytes and row leaves both, and closing waits for them."""
    options: dict[str, Any] = {"data_dir": str(tmp_path / "data"), **CHEAP_HASHING}
    resources = Resources(Settings(_env_file=None, **options))
    publishing, publish = threading.Event(), StagedBlob.publish

    def slow(staged: StagedBlob) -> None:
        publishing.set()
        time.sleep(0.2)
        publish(staged)

    monkeypatch.setattr(StagedBlob, "publish", slow)

    async def run() -> list[Document]:
        resources.open()
        db = resources.db
        user = await accounts.register(db, resources.accounts, "ann@example.org", PASSWORD, "192.0.2.1")
        upload = uploads.receive(db, resources.uploads, user, "a.pdf", io.BytesIO(make_pdf(2)), {})
        task = asyncio.create_task(upload)
        await asyncio.to_thread(publishing.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await resources.uploads.finish()
        documents = db.documents.where().all()
        await resources.close()
        return documents

    (document,) = asyncio.run(run())
    assert [path.name for path in (tmp_path / "data" / "blobs").iterdir()] == [document.sha256]


def test_a_collection_does_not_look_through_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that what is there at the start is out of the collector's sight, and full collections are rare."""

    async def startup(server: Server, sockets: Any) -> None:
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "startup", startup)
    before = gc.get_threshold()
    try:
        server = Server(uvicorn.Config(lambda: None))
        server.lifespan = SimpleNamespace(state={})
        asyncio.run(server.startup())
        assert gc.get_threshold() == COLLECTIONS
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
