"""What is measured, and what is to be reached: the one place for both. A scenario names its targets by their keys."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["cost", "speed"]


@dataclass(frozen=True)
class Target:
    """Be one row of the table of results.

    A ratio of kind "cost" is ours ÷ theirs, and small is good; one of kind "speed" says how many times as fast, or as
    small, we are. `reach` is what a prototype has shown, `aim` what is wished for; without `reach` it is for
    information only.
    """

    what: str
    against: str
    kind: Kind
    reach: float | None = None
    aim: float | None = None


SQLITE = "sqlite, WAL FULL"
"""The peer that most is measured against."""
TARGETS = {
    "get hot": Target("get, one key", "dict.get", "cost", 2.2, 1.5),
    "get random": Target("get, 100k rows, random keys", "dict.get", "cost", 1.3, 1.1),
    "journal": Target("commit, one caller", "append + fdatasync", "cost", 1.1, 0.95),
    "threads 64": Target("commits, 64 threads", "append + fdatasync, one by one", "speed", 3.5, 4.5),
    "threads 64 CPU": Target("the same, processor time a commit", "35 µs", "cost", 1),
    "asyncio 64": Target("commits, 64 tasks", "append + fdatasync, one by one", "speed", 5, 7),
    "asyncio 64 CPU": Target("the same, processor time a commit", "18 µs", "cost", 25 / 18, 1),
    "insert 1": Target("durable insert, 1 thread", SQLITE, "speed", 1.3, 1.5),
    "insert 8": Target("durable insert, 8 threads", SQLITE, "speed", 4.5, 6),
    "insert 64": Target("durable insert, 64 threads", SQLITE, "speed", 8, 10),
    "asyncio insert 64": Target("durable insert, 64 tasks", SQLITE, "speed"),
    "get sqlite": Target("typed get", SQLITE, "speed", 10, 18),
    "find sqlite": Target("lookup by index, 5 rows", SQLITE, "speed", 11, 14),
    "range sqlite": Target("range of 100, ordered", SQLITE, "speed", 20, 50),
    "scan sqlite": Target("scan with a filter, 100k rows", SQLITE, "speed", 1, 4),
    "first scan sqlite": Target("first scan after opening, 100k rows", SQLITE, "speed", 1, 4),
    "aggregate sqlite": Target("five aggregates with a filter, 100k rows", SQLITE, "speed"),
    "group sqlite": Target("groups with three aggregates, 100k rows", SQLITE, "speed"),
    "with many sqlite": Target("50 documents with their annotations", SQLITE, "speed"),
    "at opening": Target("at(), 1,000 commits back, 100k rows", "opening the store", "speed"),
    "at and look": Target("the same, and a look-up by an index of that past", "opening the store", "speed"),
    "diff opening": Target("diff() over 1,000 commits, 100k rows", "opening the store", "speed"),
    "undo update": Target("undo of a commit", "an update", "cost"),
    "history raw": Target("all commits of one row, over the whole journal", "reading the journal's bytes", "cost"),
    "backup": Target("backup, read back and verified, 100k rows", "zip -1 of the same files", "cost"),
    "backup sqlite": Target("the same", "sqlite's backup(), not compressed", "cost"),
    "restore opening": Target("restore, 100k rows", "opening the store", "cost"),
    "refresh": Target("refresh() after a commit", "reading the journal's bytes", "speed"),
    "bulk sqlite": Target("bulk insert, a row", SQLITE, "speed"),
    "memory": Target("memory a row", "default Pydantic rows in a dict", "cost", 0.72, 0.5),
    "import": Target("import snaptable", "150 ms", "cost", 1),
    "import pydantic": Target("import snaptable", "import of pydantic's BaseModel", "cost"),
}
_MUTATIONS: dict[str, tuple[tuple[float, float], ...]] = {  # raw, stop-gap, TinyDB
    "1k": ((1.3, 1.2), (8, 10), (4, 4.5)),
    "10k": ((0.95, 0.8), (18, 25), (10, 15)),
    "100k": ((0.7, 0.6), (25, 35)),
}
_SIDES = (("raw", "write + fsync + rename + dirsync"), ("stop-gap", "stop-gap"), ("TinyDB", "TinyDB"))
for _size, _all in _MUTATIONS.items():
    for (_name, _against), _both in zip(_SIDES, _all, strict=False):
        _what = f"mutation, snapshot waited for, {_size} rows"
        TARGETS[f"mutation {_size} {_name}"] = Target(_what, _against, "cost" if _name == "raw" else "speed", *_both)
_PEERS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # durable insert, typed get
    "sqlite, default": ((), ()),
    "SQLModel, WAL FULL": ((8, 9), (120, 250)),
    "SQLModel, default": ((), ()),
    "LMDB": ((2.3, 2.7), ()),
    "ZODB": ((4.5, 5), ()),
    "Redis, always": ((), ()),
}
for _name, (_insert, _get) in _PEERS.items():
    TARGETS[f"insert {_name}"] = Target("durable insert, one caller", _name, "speed", *_insert)
    TARGETS[f"get {_name}"] = Target("typed get", _name, "speed", *_get)
for _size in ("100k", "1M"):
    _what = f"start, {_size} rows, every row validated"
    TARGETS[f"start {_size} sqlite"] = Target(_what, "sqlite, all rows typed, trusted", "speed", 0.95, 1.35)
    TARGETS[f"start {_size} sqlite validated"] = Target(_what, "sqlite, all rows typed, validated", "speed")
    TARGETS[f"start {_size} SQLModel"] = Target(_what, "SQLModel, all rows", "speed", 3.5, 5)
    _what = f"a commit each ms while {_size} rows are saved, from when it was due"
    TARGETS[f"p99 {_size}"] = Target(f"p99 of {_what}", "p99 without", "cost", 3, 2)
    TARGETS[f"longest {_size}"] = Target(f"longest of {_what}", "p99 without", "cost")
    TARGETS[f"size {_size}"] = Target(f"commit at {_size} rows", "commit at 1k rows", "cost", 1.5, 1.1)
