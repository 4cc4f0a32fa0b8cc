"""Hashing passwords with argon2. Run as a program, it does so for requests given on standard input.

In a process of its own the work can be of low priority: a thread of the server that is kept waiting for a processor may
hold the interpreter's lock meanwhile, and then everybody waits. Besides argon2, it needs the standard library only.

A line is a JSON object: `{"hasher": {"time_cost": 3, …}, "password": "…", "salt": "00ff…"}` asks for a hash, and with
`"hash": "…"` whether it is the password's. The answer is `{"hash": "…"}`, `{"right": true}` or `{"error": "…"}`.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

NICENESS = 10
"""A request that is served beside it has ten times its share of a processor."""


def answer(request: dict[str, Any]) -> dict[str, object]:
    """Return what a request is answered."""
    hasher = PasswordHasher(**request["hasher"])
    try:
        if "hash" in request:
            return {"right": hasher.verify(request["hash"], request["password"])}
        salt = request.get("salt")
        return {"hash": hasher.hash(request["password"], salt=None if salt is None else bytes.fromhex(salt))}
    except VerifyMismatchError:
        return {"right": False}
    except (InvalidHashError, UnicodeError):
        return {"error": "invalid"}
    except Argon2Error as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "memory"}


def _step_back() -> None:
    """Leave the processors, and the memory where it is short, to those who serve requests."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main() -> None:
    """Answer each line of standard input, until it ends."""
    _step_back()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
