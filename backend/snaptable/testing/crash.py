"""Every state that a crash may legally leave on a disk, after every operation, under three models.

*kill*: the process died, the system lives; everything that was done is there.
*ordered*: a power cut on a file system like ext4 or XFS: names change in order, a sync of anything makes all earlier
changes of names durable, a file that was not synced is there up to some block.
*weak*: a power cut on anything POSIX allows: of what was not synced, any names and any blocks of 512 bytes may be
there, the others hold zeros, garbage, or what a removed file left in them, and sizes are anything in between.

The models, and the way sets of blocks are sampled above six, follow ALICE (Pillai et al., OSDI 2014) and CrashMonkey
(Mohan et al., OSDI 2018).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from typing import Literal

from snaptable.storage.disk import names
from snaptable.testing.disk import Contents, Operation, SimulatedDisk, apply, apply_to_names, written

Model = Literal["kill", "ordered", "weak"]
BLOCK = 512
EXHAUSTIVE = 6
"""Up to so many undecided things every subset is tried; above, a sample."""
MOST_STATES = 4000
"""States looked at after one operation, at the most."""
SAME = 30
"""So many times as many are made as are wanted: most are like another."""


@dataclass
class Undecided:
    """Be what a crash at some point decides: changes of names and of bytes that were not synced.

    Attributes:
        durable: what is there whatever happens.
        renames: changes of names that are not, oldest first.
        writes: changes of bytes that are not, by inode.
        lost: changes of bytes whose sync failed, by inode; no later sync makes them durable.
        stale: what the file that was removed last left in its blocks.
    """

    durable: Contents
    ordered: bool = False
    renames: list[Operation] = field(default_factory=list)
    writes: dict[int, list[Operation]] = field(default_factory=dict)
    lost: dict[int, list[Operation]] = field(default_factory=dict)
    stale: bytes = b""

    def take(self, operation: Operation) -> None:
        """Take note of an operation: it makes others durable, or is undecided itself."""
        if (
            operation.kind in ("write", "reserve", "truncate", "sync", "sync failed")
            and operation.inode not in self.durable.inodes
        ):
            return  # of a file that was removed and forgotten
        match operation.kind:
            case "write" | "reserve" | "truncate":
                self.writes.setdefault(operation.inode, []).append(operation)
            case "sync":
                for pending in self.writes.pop(operation.inode, ()):
                    self._settle_bytes(pending)
                if self.ordered:
                    self._settle_names(lambda _: True)
            case "sync failed":
                self.lost.setdefault(operation.inode, []).extend(self.writes.pop(operation.inode, ()))
            case "syncdir":
                self._settle_names(lambda pending: self.ordered or _folder_of(pending) == operation.name)
            case _:
                if operation.kind == "create":
                    self.durable.inodes[operation.inode] = b""
                elif operation.kind == "unlink":
                    self.stale = self.newest(operation.inode) or self.stale
                self.renames.append(operation)

    def newest(self, inode: int) -> bytes:
        """Return what a running system shows of a file."""
        data = self.durable.inodes[inode]
        for operation in self.pending(inode):
            data = written(data, operation)
        return data

    def pending(self, inode: int) -> list[Operation]:
        """Return the changes of a file's bytes that may be there or not."""
        return [*self.lost.get(inode, ()), *self.writes.get(inode, ())]

    def files(self) -> list[int]:
        """Return the files with such changes."""
        return list(dict.fromkeys((*self.lost, *self.writes)))

    def _settle_bytes(self, pending: Operation) -> None:
        self.durable.inodes[pending.inode] = written(self.durable.inodes[pending.inode], pending)
        if pending.inode in self.lost:
            # What was written over a lost write takes its place; what lies elsewhere stays lost.
            rest = [lost for lost in self.lost[pending.inode] if not _overlap(lost, pending)]
            self.lost[pending.inode] = rest

    def _settle_names(self, settled: Callable[[Operation], bool]) -> None:
        for pending in self.renames:
            if settled(pending):
                apply_to_names(self.durable, pending)
        self.renames = [pending for pending in self.renames if not settled(pending)]

    def forget_unreachable(self) -> None:
        """Let go of files that no name leads to, nor will: a long run leaves thousands."""
        alive = {*self.durable.names.values(), *(pending.inode for pending in self.renames), *self.files()}
        self.durable.inodes = {inode: data for inode, data in self.durable.inodes.items() if inode in alive}


def _overlap(lost: Operation, later: Operation) -> bool:
    if later.kind == "reserve":
        return False
    if later.kind == "truncate":
        return lost.offset + len(lost.data) > later.offset
    return lost.offset < later.offset + len(later.data) and later.offset < lost.offset + len(lost.data)


def _folder_of(operation: Operation) -> str:
    if operation.kind == "mkdir" and operation.name == "":
        return "/"
    return operation.name.rpartition("/")[0]


def never_read(name: str) -> bool:
    """Return whether recovery reads nothing of a file, so that what it holds makes no other state."""
    return name == names.LOCK or name.startswith(f"{names.QUARANTINE}/")


def states_after(
    disk: SimulatedDisk, point: int, model: Model, seed: int = 0, most: int = MOST_STATES
) -> Iterator[Contents]:
    """Yield the states that a crash after the first `point` operations of a disk may leave, no two alike."""
    if model == "kill":
        contents = disk.start.copy()
        for operation in disk.operations[:point]:
            apply(contents, operation)
        yield contents
        return
    undecided = Undecided(disk.start.copy(), model == "ordered")
    for operation in disk.operations[:point]:
        undecided.take(operation)
    seen: set[int] = set()
    chance = random.Random(seed * 1_000_003 + point)  # noqa: S311 - a sample, to be had again by its seed
    for contents in islice(_decide(undecided, chance), most * SAME):
        signature = hash(contents.signature())
        if signature not in seen:
            seen.add(signature)
            yield contents
        if len(seen) >= most:
            return


def sample(undecided: Undecided, chance: random.Random) -> Contents:
    """Return one of the states that a power cut may leave, any of them."""
    changes = list(undecided.renames)
    if undecided.ordered:
        changes = changes[: chance.randint(0, len(changes))]
    else:
        kept = chance.choice((0.0, 0.5, 0.9, 1.0))
        changes = [change for change in changes if chance.random() < kept]
    contents = _named(undecided, changes)
    for inode in undecided.files():
        contents.inodes[inode] = chance.choice(list(islice(_versions(undecided, inode, chance), MOST_STATES)))
    return contents


def _named(undecided: Undecided, changes: Iterable[Operation]) -> Contents:
    contents = undecided.durable.copy()
    for operation in changes:
        apply_to_names(contents, operation)
    contents.names = {name: inode for name, inode in contents.names.items() if _inside(name, contents)}
    return contents


def _decide(undecided: Undecided, chance: random.Random) -> Iterator[Contents]:
    files = undecided.files()
    per_file = [list(islice(_versions(undecided, inode, chance), MOST_STATES)) for inode in files]
    for chosen in _name_changes(undecided, chance):
        contents = _named(undecided, chosen)
        reachable = {inode for name, inode in contents.names.items() if not never_read(name)}
        # A version of a file that is never read, or that no name leads to, makes no other state.
        choices = [
            versions if inode in reachable else versions[:1] for inode, versions in zip(files, per_file, strict=True)
        ]
        for versions in _sampled_product(choices, chance):
            state = contents.copy()
            state.inodes.update(zip(files, versions, strict=True))
            yield state


def _inside(name: str, contents: Contents) -> bool:
    return "" in contents.directories and name.rpartition("/")[0] in contents.directories


def _sampled_product(choices: Sequence[Sequence[bytes]], chance: random.Random) -> Iterator[tuple[bytes, ...]]:
    total = 1
    for versions in choices:
        total *= len(versions)
    if total <= MOST_STATES:
        yield from product(*choices)
        return
    for _ in range(MOST_STATES):
        yield tuple(chance.choice(versions) for versions in choices)


def _name_changes(undecided: Undecided, chance: random.Random) -> Iterator[Sequence[Operation]]:
    pending = undecided.renames
    if undecided.ordered:
        for count in range(len(pending), -1, -1):
            yield pending[:count]
    else:
        yield from subsets(pending, chance)


def subsets(items: Sequence[Operation], chance: random.Random) -> Iterator[Sequence[Operation]]:
    """Yield subsets of operations, their order kept: all of them up to six, else the telling ones and a sample."""
    yield items
    if not items:
        return
    yield []
    count = len(items)
    if count <= EXHAUSTIVE:
        for size in range(1, count):
            yield from combinations(items, size)
        return
    for cut in range(1, count):
        yield items[:cut]
        yield items[cut:]
    for index in range(count):
        yield [*items[:index], *items[index + 1 :]]
        yield [items[index]]
    for _ in range(4 * count + 64):
        yield [item for item in items if chance.random() < 0.5]


def _versions(undecided: Undecided, inode: int, chance: random.Random) -> Iterator[bytes]:
    """Yield what a file with unsynced writes may hold."""
    before, after = undecided.durable.inodes[inode], undecided.newest(inode)
    yield after
    yield before
    changed = _changed_blocks(before, after)
    if undecided.ordered:
        for block in changed:
            yield after[: max(block * BLOCK, len(before))]
        return
    fills = (b"\0", b"\xa5", undecided.stale) if undecided.stale else (b"\0", b"\xa5")
    for fill in fills:
        yield _mixed(before, after, changed, frozenset(), fill)
    for size in _sizes(len(before), len(after), changed):
        for kept in _block_sets(changed, chance):
            for fill in fills:
                yield _mixed(before, after, changed, kept, fill)[:size]


def _changed_blocks(before: bytes, after: bytes) -> list[int]:
    blocks = range((max(len(before), len(after)) + BLOCK - 1) // BLOCK)
    return [block for block in blocks if _block(before, block) != _block(after, block)]


def _block(data: bytes, number: int) -> bytes:
    return data[number * BLOCK : (number + 1) * BLOCK]


def _sizes(before: int, after: int, changed: Iterable[int]) -> list[int]:
    """Return the sizes a file may have: the new one first, block boundaries, and a few bytes into each block."""
    low, high = sorted((before, after))
    sizes = {after, before}
    for block in changed:
        sizes |= {block * BLOCK, block * BLOCK + 1, block * BLOCK + BLOCK // 2, (block + 1) * BLOCK - 1}
    return sorted((size for size in sizes if low <= size <= high), reverse=True)


def _block_sets(changed: Sequence[int], chance: random.Random) -> Iterator[frozenset[int]]:
    if len(changed) <= EXHAUSTIVE:
        for size in range(len(changed), -1, -1):
            yield from map(frozenset, combinations(changed, size))
        return
    yield frozenset(changed)
    yield frozenset()
    for cut in range(1, len(changed)):
        yield frozenset(changed[:cut])
        yield frozenset(changed[cut:])
    for block in changed:
        yield frozenset(changed) - {block}
        yield frozenset({block})
    for _ in range(4 * len(changed) + 64):
        yield frozenset(block for block in changed if chance.random() < 0.5)


def _mixed(before: bytes, after: bytes, changed: Sequence[int], kept: frozenset[int], fill: bytes) -> bytes:
    """Return the new file with the blocks that were not kept as they were, or filled where they were not there."""
    mixed = bytearray(after)
    for block in changed:
        if block not in kept:
            start, end = block * BLOCK, min(len(after), (block + 1) * BLOCK)
            kept_bytes = before[start:end]
            mixed[start:end] = kept_bytes + _repeated(fill, start + len(kept_bytes), end)
    return bytes(mixed)


def _repeated(fill: bytes, start: int, end: int) -> bytes:
    """Return the bytes between two places of a pattern without end."""
    start, length = start % len(fill), end - start
    return (fill * ((start + length) // len(fill) + 1))[start : start + length]
