"""Every state that a crash may legally leave on a disk, after every operation, under three models.

*kill*: the process died, the system runs on; everything that was done is there.
*ordered*: a power cut on a file system like ext4 or XFS: names change in order, a sync of anything makes all earlier
changes of names durable, a file that was not synced is there up to some block.
*weak*: a power cut on anything POSIX allows: of what was not synced, any names and any blocks of 512 bytes may be
there, the others hold zeros, garbage, or what a removed file left in them, and sizes are anything in between. A file's
size and its bytes reach the disk apart: a cut and a later write may do so in either order, and where the cut is missing
its blocks may be another file's already.

The models, and the way sets of blocks are sampled above six, follow ALICE (Pillai et al., OSDI 2014) and CrashMonkey
(Mohan et al., OSDI 2018).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from typing import Literal

from snaptable.storage.disk import names
from snaptable.testing.disk import Contents, Operation, SimulatedDisk, applied_to_bytes, apply, apply_to_names

Model = Literal["kill", "ordered", "weak"]
MODELS: tuple[Model, ...] = ("kill", "ordered", "weak")
BLOCK = 512
EXHAUSTIVE = 6
"""Up to this many unsynced changes every subset of them is a state; above, a sample is."""
MAX_STATES = 4000
"""States after one operation, if the caller does not say how many."""
OVERSAMPLING = 30
"""States that are generated for each one that is wanted: most equal another."""
GARBAGE = b"\xa5"


@dataclass
class UnsyncedChanges:
    """What a crash at some point may keep or lose: the changes of names and of bytes that were not synced.

    Attributes:
        durable: what every crash keeps.
        ordered: whether the file system orders changes of names, as in the model of this name.
        renames: unsynced changes of names, oldest first.
        writes: unsynced changes of bytes, by inode.
        lost: changes of bytes whose sync failed, by inode; no later sync makes them durable.
        stale: the bytes of the file that was removed last, which its blocks still hold.
    """

    durable: Contents
    ordered: bool = False
    renames: list[Operation] = field(default_factory=list)
    writes: dict[int, list[Operation]] = field(default_factory=dict)
    lost: dict[int, list[Operation]] = field(default_factory=dict)
    stale: bytes = b""

    def add(self, operation: Operation) -> None:
        """Add an operation: a sync makes earlier changes durable, any other is an unsynced change itself."""
        match operation.kind:
            case "write" | "zeros" | "reserve" | "truncate" | "sync" | "sync failed":
                if operation.inode in self.durable.inodes:  # else the file was removed, and dropped here
                    self._add_to_file(operation)
            case "syncdir":
                self._make_names_durable(lambda change: self.ordered or _folder_of(change) == operation.name)
            case _:
                if operation.kind == "create":
                    self.durable.inodes[operation.inode] = b""
                elif operation.kind == "unlink":
                    self.stale = self.newest(operation.inode) or self.stale
                self.renames.append(operation)

    def _add_to_file(self, operation: Operation) -> None:
        if operation.kind == "sync":
            for write in self.writes.pop(operation.inode, ()):
                self._make_bytes_durable(write)
            if self.ordered:
                self._make_names_durable(lambda _: True)
        elif operation.kind == "sync failed":
            self.lost.setdefault(operation.inode, []).extend(self.writes.pop(operation.inode, ()))
        else:
            self.writes.setdefault(operation.inode, []).append(operation)

    def newest(self, inode: int) -> bytes:
        """Return the bytes of a file that a running system sees."""
        data = self.durable.inodes[inode]
        for operation in self.unsynced_writes(inode):
            data = applied_to_bytes(data, operation)
        return data

    def unsynced_writes(self, inode: int) -> list[Operation]:
        """Return the changes of a file's bytes that a crash may keep or lose."""
        return [*self.lost.get(inode, ()), *self.writes.get(inode, ())]

    def files(self) -> list[int]:
        """Return the inodes with such changes."""
        return list(dict.fromkeys((*self.lost, *self.writes)))

    def _make_bytes_durable(self, write: Operation) -> None:
        self.durable.inodes[write.inode] = applied_to_bytes(self.durable.inodes[write.inode], write)
        if write.inode in self.lost:
            # What was written over a lost write replaces it; lost bytes elsewhere stay lost.
            self.lost[write.inode] = [lost for lost in self.lost[write.inode] if not _overlap(lost, write)]

    def _make_names_durable(self, is_durable: Callable[[Operation], bool]) -> None:
        for change in self.renames:
            if is_durable(change):
                apply_to_names(self.durable, change)
        self.renames = [change for change in self.renames if not is_durable(change)]

    def drop_unreachable(self) -> None:
        """Drop the bytes of files that have no name and can't get one back: a long run leaves thousands."""
        reachable = {*self.durable.names.values(), *(change.inode for change in self.renames), *self.files()}
        self.durable.inodes = {inode: data for inode, data in self.durable.inodes.items() if inode in reachable}


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
    """Return whether recovery reads nothing of a file, so that its content distinguishes no two states."""
    return name == names.LOCK or name.startswith(f"{names.QUARANTINE}/")


def states_after(
    disk: SimulatedDisk, point: int, model: Model, seed: int = 0, max_states: int = MAX_STATES
) -> Iterator[Contents]:
    """Yield the states that a crash may leave after the first `point` operations of a disk, each once.

    Args:
        disk: the disk with its record.
        point: the number of operations before the crash.
        model: the kind of crash.
        seed: chooses a sample if there are more states than `max_states`.
        max_states: the number of states after which it ends.
    """
    if model == "kill":
        contents = disk.start.copy()
        for operation in disk.operations[:point]:
            apply(contents, operation)
        yield contents
        return
    changes = UnsyncedChanges(disk.start.copy(), model == "ordered")
    for operation in disk.operations[:point]:
        changes.add(operation)
    seen: set[int] = set()
    rng = random.Random(seed * 1_000_003 + point)  # noqa: S311 - a sample that its seed repeats
    for contents in islice(_states(changes, rng), max_states * OVERSAMPLING):
        signature = hash(contents.signature())
        if signature not in seen:
            seen.add(signature)
            yield contents
        if len(seen) >= max_states:
            return


def sample(changes: UnsyncedChanges, rng: random.Random) -> Contents:
    """Return a random one of the states that a power cut may leave."""
    renames = list(changes.renames)
    if changes.ordered:
        renames = renames[: rng.randint(0, len(renames))]
    else:
        kept_share = rng.choice((0.0, 0.5, 0.9, 1.0))
        renames = [change for change in renames if rng.random() < kept_share]
    contents = _with_names(changes, renames)
    for inode in changes.files():
        contents.inodes[inode] = rng.choice(list(islice(_file_versions(changes, inode, rng), MAX_STATES)))
    return contents


def _with_names(changes: UnsyncedChanges, renames: Iterable[Operation]) -> Contents:
    """Return the durable contents with some of the unsynced changes of names."""
    contents = changes.durable.copy()
    for operation in renames:
        apply_to_names(contents, operation)
    contents.names = {name: inode for name, inode in contents.names.items() if _has_folder(name, contents)}
    return contents


def _states(changes: UnsyncedChanges, rng: random.Random) -> Iterator[Contents]:
    """Yield states that a power cut may leave, some of them several times."""
    files = changes.files()
    per_file = [list(islice(_file_versions(changes, inode, rng), MAX_STATES)) for inode in files]
    for renames in _name_changes(changes, rng):
        contents = _with_names(changes, renames)
        read = {inode for name, inode in contents.names.items() if not never_read(name)}
        # Versions of a file that is never read, or that has no name, make no difference.
        choices = [versions if inode in read else versions[:1] for inode, versions in zip(files, per_file, strict=True)]
        for versions in _sampled_product(choices, rng):
            state = contents.copy()
            state.inodes.update(zip(files, versions, strict=True))
            yield state


def _has_folder(name: str, contents: Contents) -> bool:
    return "" in contents.directories and name.rpartition("/")[0] in contents.directories


def _sampled_product(choices: Sequence[Sequence[bytes]], rng: random.Random) -> Iterator[tuple[bytes, ...]]:
    total = 1
    for versions in choices:
        total *= len(versions)
    if total <= MAX_STATES:
        yield from product(*choices)
        return
    for _ in range(MAX_STATES):
        yield tuple(rng.choice(versions) for versions in choices)


def _name_changes(changes: UnsyncedChanges, rng: random.Random) -> Iterator[Sequence[Operation]]:
    if changes.ordered:
        for count in range(len(changes.renames), -1, -1):
            yield changes.renames[:count]
    else:
        yield from subsets(changes.renames, rng)


def subsets(items: Sequence[Operation], rng: random.Random) -> Iterator[Sequence[Operation]]:
    """Yield subsets of operations, in their order: every one of up to six, else the telling ones and a sample."""
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
        yield [item for item in items if rng.random() < 0.5]


def _file_versions(changes: UnsyncedChanges, inode: int, rng: random.Random) -> Iterator[bytes]:
    """Yield what a file with unsynced writes may hold."""
    before, after = changes.durable.inodes[inode], changes.newest(inode)
    yield after
    yield before
    changed = _changed_blocks(before, after)
    if changes.ordered:
        for block in changed:
            yield after[: max(block * BLOCK, len(before))]
        return
    fills = (b"\0", GARBAGE, changes.stale) if changes.stale else (b"\0", GARBAGE)
    for fill in fills:
        yield _mixed(before, after, changed, frozenset(), fill)
    yield from _cut_versions(changes, inode, fills)
    for size in _sizes(len(before), len(after), changed):
        for kept in _block_sets(changed, rng):
            for fill in fills:
                yield _mixed(before, after, changed, kept, fill)[:size]


def _cut_versions(changes: UnsyncedChanges, inode: int, fills: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a file may hold whose unsynced cuts reach the disk later than its writes, or not at all."""
    unsynced = changes.unsynced_writes(inode)
    cuts = [operation for operation in unsynced if operation.kind == "truncate"]
    if not cuts:
        return
    writes = [operation for operation in unsynced if operation.kind != "truncate"]
    uncut = late = changes.durable.inodes[inode]
    for write in writes:
        uncut = late = applied_to_bytes(uncut, write)
    # 1. None of the cuts: what they freed holds its old bytes, or other ones.
    end = max((write.offset + len(write.data) for write in writes if write.kind == "write"), default=cuts[-1].offset)
    yield uncut
    for fill in fills:
        yield uncut[:end] + _repeated(fill, end, max(end, len(uncut)))
    # 2. The cuts behind the writes.
    for cut in cuts:
        late = applied_to_bytes(late, cut)
        yield late


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


def _block_sets(changed: Sequence[int], rng: random.Random) -> Iterator[frozenset[int]]:
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
        yield frozenset(block for block in changed if rng.random() < 0.5)


def _mixed(before: bytes, after: bytes, changed: Sequence[int], kept: frozenset[int], fill: bytes) -> bytes:
    """Return the new file with the blocks that were lost as they were before, or filled if they were not there."""
    mixed = bytearray(after)
    for block in changed:
        if block not in kept:
            start, end = block * BLOCK, min(len(after), (block + 1) * BLOCK)
            old = before[start:end]
            mixed[start:end] = old + _repeated(fill, start + len(old), end)
    return bytes(mixed)


def _repeated(fill: bytes, start: int, end: int) -> bytes:
    """Return the bytes from `start` to `end` of a pattern repeated without end."""
    start, length = start % len(fill), end - start
    return (fill * ((start + length) // len(fill) + 1))[start : start + length]
