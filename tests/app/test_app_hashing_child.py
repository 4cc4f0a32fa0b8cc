"""Hashing passwords in child processes: the same answers as in this one, at a low priority, whatever ends a child."""

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.app.conftest import Start
from tests.app.support import PASSWORD, Api, check_problem

from app.errors import TooBusy
from app.resources import Resources
from app.security import argon2_child
from app.security.child_hasher import HEAVY_KIB, SHORTAGES, ChildHasher
from app.security.passwords import Argon2

COSTS: dict[str, Any] = {"time_cost": 1, "memory_cost": HEAVY_KIB, "parallelism": 1}
"""The least that is done by a child."""


@pytest.fixture
def hasher() -> Iterator[ChildHasher]:
    """Give a hasher whose children end with the test."""
    made = ChildHasher(**COSTS)
    yield made
    made.close()


def children() -> set[int]:
    """Return the processes that hash for this one."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                is_ours = argon2_child.__file__.encode() in (folder / "cmdline").read_bytes()
            except (OSError, IndexError):
                continue
            if is_ours and parent == os.getpid():
                found.add(int(folder.name))
    return found


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40), st.text(max_size=5))
def test_a_child_answers_as_this_process_would(password: str, other: str) -> None:
    """Ensure that hashes of either open by the other, whatever text a password is, line ends included."""
    hasher, local = ChildHasher(**COSTS), PasswordHasher(**COSTS)
    try:
        assert hasher.verify(local.hash(password), password)
        made = hasher.hash(password)
        assert local.verify(made, password)
        assert not hasher.check_needs_rehash(made)
        assert hasher.hash(password, salt=b"0" * 16) == local.hash(password, salt=b"0" * 16)
        with pytest.raises(VerifyMismatchError):
            hasher.verify(made, password + other + "x")
    finally:
        hasher.close()


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$v=19$m=64,t=1,p=1$!!!!$????", "$argon2id$v=19$m=8"])
def test_what_is_no_hash_opens_to_nothing(hasher: ChildHasher, stored: str) -> None:
    """Ensure the same for a child, and that it lives on."""
    with pytest.raises((InvalidHashError, VerificationError)):
        hasher.verify(stored, PASSWORD)
    argon2 = Argon2(**COSTS)
    assert not argon2.verify("\ud800", PasswordHasher(**COSTS).hash("x"))
    argon2.close()
    with pytest.raises(InvalidHashError):
        hasher.verify(PasswordHasher(**COSTS).hash("x"), "\ud800")
    assert hasher.hash(PASSWORD)


def test_children_are_of_low_priority_and_few(hasher: ChildHasher) -> None:
    """Ensure one child for each thread that hashes at a time, and none after the end; /proc is Linux's."""
    assert sys.platform == "linux"
    before = children()
    for _ in range(3):
        hasher.hash(PASSWORD)
    (child,) = children() - before
    assert os.getpriority(os.PRIO_PROCESS, child) >= argon2_child.NICENESS
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(hasher.hash, ["a", "b", "c"] * 3))
    assert 1 <= len(children() - before) <= 3
    hasher.close()
    assert children() <= before
    assert hasher.hash(PASSWORD)  # a new one is started


def test_a_child_that_is_gone_is_a_shortage_once(hasher: ChildHasher) -> None:
    """Ensure that a killed child is no wrong password, and the next question is answered."""
    stored = hasher.hash(PASSWORD)
    for ask in (lambda: hasher.hash(PASSWORD), lambda: hasher.verify(stored, PASSWORD)):
        child = hasher._idle.get()
        child.send_signal(signal.SIGKILL)
        child.wait()
        hasher._idle.put(child)
        with pytest.raises((HashingError, VerificationError)) as raised:
            ask()
        assert str(raised.value) in SHORTAGES
        assert hasher.verify(stored, PASSWORD)


def test_a_child_that_can_not_be_started_is_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that a lack of processes, descriptors or memory is neither a wrong password nor a defect."""

    def fail(*_: Any, **__: Any) -> None:
        raise BlockingIOError

    hasher = Argon2(**COSTS)
    monkeypatch.setattr("app.security.child_hasher.subprocess.Popen", fail)
    with pytest.raises(TooBusy):
        hasher.hash(PASSWORD)
    with pytest.raises(TooBusy):
        hasher.verify(PASSWORD, "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHQ")


def test_over_http(start: Start) -> None:
    """Ensure that logins work with a child, a killed one is 503 with no failure counted, and a stop ends it."""
    before = children()
    client = start(argon2_memory=HEAVY_KIB, login_failures=1)
    ann = Api(client).register()
    resources: Resources = client.app.state.resources  # type: ignore[attr-defined]
    hasher = resources.accounts.passwords._argon2._hasher
    child = hasher._idle.get()
    child.kill()
    child.wait()
    hasher._idle.put(child)
    check_problem(client.post("/api/auth/login", data={"username": ann.email, "password": PASSWORD}), 503)
    ann.log_in()
    assert children() - before
    start()
    assert children() <= before
