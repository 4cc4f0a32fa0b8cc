"""What the tests of the offline tools share: a store with history, ways to damage it, and its files in memory."""

from collections.abc import Callable
from pathlib import Path

from tests.snaptable.storage.support import Post, Rows, Store, User, rows_of, tree

from snaptable.testing.disk import Contents, SimulatedDisk


def fill(db: Store, first: int = 0, last: int = 8) -> list[Rows]:
    """Write eight commits, or some of them; return the state before the first and after each."""
    states = [rows_of(db)]
    steps: list[Callable[[], object]] = [
        lambda: db.users.insert_many([User(id="ann", email="a@x"), User(id="bob", email="b@x", note="plain")]),
        lambda: db.posts.insert(Post(user_id="ann", text="one")),
        lambda: db.users.update("ann", note="märk"),
        lambda: db.posts.insert_many([Post(user_id="bob", text="two"), Post(user_id="bob", text="three")]),
        lambda: db.users.insert(User(id="eve")),
        lambda: db.posts.delete(3),
        lambda: db.users.delete("eve"),
        lambda: db.users.insert(User(id="zoe", email="z@x")),
    ]
    for step in steps[first:last]:
        step()
        states.append(rows_of(db))
    return states


def edit(path: Path, old: str, new: str) -> None:
    """Put a text in another's place in a file."""
    data = path.read_bytes()
    assert data.count(old.encode()) == 1, (old, data)
    path.write_bytes(data.replace(old.encode(), new.encode()))


def damage(path: Path, mark: bytes, change: bytes) -> None:
    """Change the first occurrence of some bytes in a file."""
    data = path.read_bytes()
    assert mark in data
    path.write_bytes(data.replace(mark, change, 1))


def contents(directory: Path) -> dict[str, bytes]:
    """Return the content of every file but the lock."""
    return {name: data for name, (kind, _, data) in tree(directory).items() if kind == "-"}


def lift(directory: Path) -> SimulatedDisk:
    """Return a simulated disk with a directory's files."""
    names, inodes = {}, {}
    for number, path in enumerate(sorted(path for path in directory.rglob("*") if path.is_file()), 1):
        # Negative, for the simulated disk counts its own from one.
        names[str(path.relative_to(directory))] = -number
        inodes[-number] = path.read_bytes()
    folders = {"", *(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_dir())}
    return SimulatedDisk(Contents(folders, names, inodes))
