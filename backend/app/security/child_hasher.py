"""A hasher of argon2 whose work is done by child processes of low priority; what they run is `argon2_child`."""

import contextlib
import json
import queue
import subprocess
import sys
from typing import Any, Literal

from argon2 import PasswordHasher
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import error_to_str

from app.security import argon2_child

HEAVY_KIB = 8 * 1024
"""Memory times passes from which on a hash, of some milliseconds, is worth a round trip to a child."""
SHORTAGES = frozenset(error_to_str(code) for code in (-22, -33))
"""What argon2 says when it gets no memory, or no threads: its codes MEMORY_ALLOCATION_ERROR and THREAD_FAIL."""
_SHORTAGE = error_to_str(-22)


class ChildHasher(PasswordHasher):
    """`argon2.PasswordHasher`, to be used by threads, each of which waits for a child without holding up the others.

    A child is started when none is idle, and stays until `close`. One that can't be started, or that the system took
    for want of memory, is a shortage, as argon2 itself tells one.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what `PasswordHasher` takes; nothing is started yet."""
        super().__init__(*arguments, **options)
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._costs = {
            "time_cost": self.time_cost,
            "memory_cost": self.memory_cost,
            "parallelism": self.parallelism,
            "hash_len": self.hash_len,
            "salt_len": self.salt_len,
        }

    @property
    def is_heavy(self) -> bool:
        """Whether a hash takes more than a few milliseconds."""
        return self.memory_cost * self.time_cost >= HEAVY_KIB

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        """Return a new hash.

        Raises:
            HashingError: memory or threads are short.
        """
        if not self.is_heavy or isinstance(password, bytes):
            return super().hash(password, salt=salt)
        answer = self._ask({"password": password, "salt": None if salt is None else salt.hex()})
        if "hash" not in answer:
            raise HashingError(answer["error"])
        return str(answer["hash"])

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  # its name there
        """Return True if the password is that of the hash.

        Raises:
            VerifyMismatchError: it is not.
            VerificationError: memory or threads are short, which its text is one of `SHORTAGES` for, or another reason.
            InvalidHashError: the hash can't be read.
        """
        if not self.is_heavy or isinstance(password, bytes) or isinstance(hash, bytes):
            return super().verify(hash, password)
        answer = self._ask({"password": password, "hash": hash})
        if answer.get("right"):
            return True
        if "right" in answer:
            raise VerifyMismatchError
        if answer["error"] == "invalid":
            raise InvalidHashError
        raise VerificationError(answer["error"])

    def close(self) -> None:
        """End the children that are idle; for when no thread uses them any more."""
        while not self._idle.empty():
            _end(self._idle.get())

    def _ask(self, request: dict[str, object]) -> dict[str, object]:
        """Return a child's answer; a shortage if there is none."""
        try:
            child = self._take()
        except OSError:
            return {"error": _SHORTAGE}
        try:
            assert child.stdin is not None  # both are pipes
            assert child.stdout is not None
            child.stdin.write(json.dumps({**request, "hasher": self._costs}).encode() + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()
            answer: dict[str, object] = json.loads(line)
        except (OSError, ValueError):  # it ended
            _end(child)
            return {"error": _SHORTAGE}
        except BaseException:
            _end(child)  # its answer would be taken for the next question's
            raise
        self._idle.put(child)
        return {"error": _SHORTAGE} if answer.get("error") == "memory" else answer

    def _take(self) -> "subprocess.Popen[bytes]":
        """Return an idle child, or a new one.

        Raises:
            OSError: it can't be started.
        """
        with contextlib.suppress(queue.Empty):
            return self._idle.get_nowait()
        return subprocess.Popen(  # noqa: S603  # our own program
            # By its path, so that nothing of the application is imported; its own directory holds modules of ours.
            [sys.executable, "-P", argon2_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C reaches the whole group; the child ends when its standard input does
        )


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a child, and wait until it is gone."""
    child.kill()
    with contextlib.suppress(OSError):
        child.communicate()
