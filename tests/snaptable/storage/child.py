"""A process that writes until it is killed, and says after each write that returned which one it was.

Run as `python -m tests.snaptable.storage.child DIRECTORY MODE POLICY`; each acknowledged key is a line on its output.
"""

import asyncio
import os
import sys
import threading
from itertools import count

from tests.snaptable.storage.support import Post, Store, User

from snaptable import new_id

THREADS = 4


def write(db: Store, key: str) -> None:
    """Write two rows in one transaction, and change a third: all or nothing."""
    with db.transaction():
        db.users.insert(User(id=key, email=f"{key}@x"))
        db.posts.insert(Post(user_id=key, text=key))
        db.users.upsert(User(id="counter", note=key))


def say(key: str) -> None:
    """Write an acknowledged key, at once and whole."""
    os.write(1, f"{key}\n".encode())


def in_threads(db: Store) -> None:
    """Write from several threads for ever."""

    def work() -> None:
        for _ in count():
            key = new_id()
            write(db, key)
            say(key)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def in_tasks(db: Store) -> None:
    """Write from several tasks of one event loop for ever."""

    async def work() -> None:
        for _ in count():
            key = new_id()
            await db.run(write, key)
            say(key)

    await asyncio.gather(*(work() for _ in range(THREADS * 4)))


def in_turns(db: Store) -> None:
    """Write from one thread for ever, closing and opening the store now and then."""
    for number in count():
        key = new_id()
        write(db, key)
        say(key)
        if number % 7 == 6:
            db.close()
            db.open()


def main(directory: str, mode: str, policy: str) -> None:
    """Open the store and write."""
    with Store(directory, snapshot=policy) as db:  # type: ignore[arg-type]
        say("ready")
        if mode == "hold":
            sys.stdin.read()
        elif mode == "threads":
            in_threads(db)
        elif mode == "tasks":
            asyncio.run(in_tasks(db))
        else:
            in_turns(db)


if __name__ == "__main__":
    main(*sys.argv[1:])
