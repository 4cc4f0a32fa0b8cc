"""Damaged and hostile files: opening, checking, repairing and accepting them cost at most in proportion to their size.

Each shape is what a disk, a hand or a stranger's rows can make of a snapshot, a file of the older format or a journal.
It is put through every reader there is; whether that refuses it, or what it reports, is the business of other tests.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import pytest
from tests.growth import assert_proportional
from tests.snaptable.storage.support import JOURNAL, SNAPSHOT, Store, Token, User, killed, sealed

from snaptable import CorruptJournal, OpenError
from snaptable.maintenance.check import check_store
from snaptable.maintenance.external_edit import examine, examine_discarding
from snaptable.maintenance.models import check_models, validator_of
from snaptable.maintenance.salvage import plan_repair
from snaptable.maintenance.untyped import recover_untyped
from snaptable.storage.disk.files import Files

HEAD = b'{\n"snaptable": {"format": 1},\n"users": {\n'
ROW = 40
"""Bytes of a small row, about."""
FRAME = 300
"""Bytes of a frame with a small row, about."""
Snapshots = Callable[["Maker", int], bytes]


class Maker:
    """Sound files of about a size, made once each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.rows = lru_cache(self._rows)
        self.text = lru_cache(self._text)
        self.journal = lru_cache(self._journal)

    @contextmanager
    def _store(self) -> Iterator[Store]:
        shutil.rmtree(self._directory, ignore_errors=True)
        with Store(self._directory, fsync=False) as db:
            yield db

    def _rows(self, size: int) -> bytes:
        """Return a snapshot of many rows."""
        with self._store() as db:
            db.users.insert_many([User(id=f"u{number}", note="n") for number in range(size // ROW)])
        return (self._directory / SNAPSHOT).read_bytes()

    def _text(self, size: int, text: str) -> bytes:
        """Return a snapshot of one row, with a text again and again."""
        with self._store() as db:
            db.users.insert(User(id="ann", note=text * (size // len(text))))
        return (self._directory / SNAPSHOT).read_bytes()

    def _journal(self, size: int, per_frame: str = "") -> bytes:
        """Return the journal of many commits, or of two whose rows hold JSON again and again, of a killed process."""
        with self._store() as db:
            if per_frame:
                for _ in range(2):
                    db.tokens.insert(Token(data={"list": [json.loads(per_frame)] * (size // 2 // len(per_frame))}))
            else:
                for number in range(size // FRAME):
                    db.users.insert(User(id=f"u{number}"))
            copy = killed(db)
        return (copy / JOURNAL / "1.jsonl").read_bytes().rstrip(b"\0")


def cut(data: bytes) -> bytes:
    """Return the first half."""
    return data[: len(data) // 2]


def same_key(data: bytes) -> bytes:
    """Return a snapshot in which many rows have the key of another."""
    return data.replace(b'"u1', b'"u2')


def repeated(line: bytes) -> Snapshots:
    """Return what makes a snapshot of one line again and again."""
    return lambda _, n: HEAD + line * (n // len(line))


def legacy(content: Callable[[int], object]) -> Snapshots:
    """Return what makes a file of the older format, of so many entries."""
    return lambda _, n: json.dumps(content(n // 16)).encode()


SNAPSHOTS: dict[str, Snapshots] = {
    # One row, one line.
    "JSON in a text, cut": lambda make, n: cut(make.text(n, '[{"a":"b"},')),
    "JSON in a text, its first quote gone": lambda make, n: make.text(n, '{"a":[]},').replace(b'e":"{', b'e":{', 1),
    "JSON in a text, its last quote gone": lambda make, n: make.text(n, '{"a":[]},').replace(b',"}', b",}", 1),
    "a text of backslashes, cut": lambda make, n: cut(make.text(n, "\\")),
    "a text of quotes, cut": lambda make, n: cut(make.text(n, '"')),
    "braces": lambda _, n: HEAD + b'"k": ' + b'{"a":' * (n // 5),
    "brackets": lambda _, n: HEAD + b'"k": {"a":' + b"[" * n,
    "one endless name": lambda _, n: HEAD + b'"' + b"k" * n,
    # Many rows, many lines.
    "rows, cut": lambda make, n: cut(make.rows(n)),
    "a brace of every row gone": lambda make, n: make.rows(n).replace(b'"n"},', b'"n",'),
    "a quote of every row gone": lambda make, n: make.rows(n).replace(b'"n"},', b'"n},'),
    "a colon of every row gone": lambda make, n: make.rows(n).replace(b'":', b'"'),
    "every row over two lines": lambda make, n: make.rows(n).replace(b'"n"}', b'"n"\n}') + b"x",
    "every row over two lines and broken": lambda make, n: make.rows(n).replace(b'"n"}', b'"n",\n}'),
    "rows with the key of another": lambda make, n: same_key(make.rows(n)),
    "rows within rows": repeated(b'"k": {"a":{\n'),
    "rows within lists": repeated(b'"k": {"a":[\n'),
    "rows that end in a text": repeated(b'"k": {"a":"x\n'),
    "tables within tables": repeated(b'"users": {\n'),
    "lines of a quote": repeated(b'"\n'),
    "empty lines": repeated(b"\n"),
    "conflict markers": repeated(b"<<<<<<<x\n"),
    "zeros": repeated(b"\0"),
    "no UTF-8": repeated(b"\xff"),
    # The header.
    "a deep header": lambda _, n: b'{\n"snaptable": ' + b"[" * n,
    "a header that does not end": lambda _, n: b'{\n"snaptable": {"format": 1, "a": "' + b'\\"' * (n // 2),
    "a format of many digits": lambda _, n: b'{\n"snaptable": {"format": ' + b"1" * n + b"},\n",
    # Edits.
    "every row edited": lambda make, n: make.rows(n).replace(b'"n"', b'"m"'),
    "every row no row": lambda make, n: make.rows(n).replace(b'{"id"', b'[{"id"').replace(b'"n"}', b'"n"}]'),
    "every row with an unknown field": lambda make, n: make.rows(n).replace(b'"note"', b'"NOTE"'),
    "every row with another's key": lambda make, n: make.rows(n).replace(b'"id":"u', b'"id":"w'),
    "laid out anew": lambda make, n: json.dumps(json.loads(make.rows(n)), indent=2).encode(),
    "what is no table": lambda make, n: make.rows(ROW).replace(
        b'"users": {', b"".join(b'"t%d": 1,\n' % number for number in range(n // 16)) + b'"users": {'
    ),
    # With a checksum that is right: rows that don't fit the models.
    "sealed, an unknown field": lambda make, n: sealed(make.rows(n).replace(b'"note"', b'"NOTE"')),
    "sealed, another's key": lambda make, n: sealed(make.rows(n).replace(b'"id":"u', b'"id":"w')),
    "sealed, keys twice": lambda make, n: sealed(same_key(make.rows(n))),
    "sealed, unique values twice": lambda make, n: sealed(make.rows(n).replace(b'"email":null', b'"email":"a"')),
    # The older format.
    "older, cut": lambda _, n: cut(
        json.dumps({"users": {"a": {"note": json.dumps([{"a": "b"}] * (n // 16))}}}).encode()
    ),
    "older, what is no table": legacy(lambda n: {f"t{number}": 1 for number in range(n)}),
    "older, unknown tables": legacy(lambda n: {f"t{number}": {"a": {}} for number in range(n)}),
    "older, what is no row": legacy(lambda n: {"users": {f"u{number}": 1 for number in range(n)}}),
    "older, rows that don't fit": legacy(lambda n: {"users": {f"u{number}": {"x": 1} for number in range(n)}}),
    "older, a key twice": lambda _, n: b'{"users": {%b"0": {}}}' % b"".join(b'"%d":{},' % i for i in range(n // 8)),
}

LIKE_A_FRAME = '{"frame":[1,2],"at":"x","previous":"0","commits":[],"check":"0"}'
JOURNALS: dict[str, Snapshots] = {
    "torn, its row full of frames": lambda make, n: make.journal(n, LIKE_A_FRAME)[:-9],
    "torn, its row full of frames, with an end": lambda make, n: make.journal(n, LIKE_A_FRAME)[:-9] + b"\n",
    "damaged, its rows full of frames": lambda make, n: make.journal(n, LIKE_A_FRAME).replace(b'"list"', b'"LIST"', 1),
    "beginnings of frames": lambda make, n: make.journal(FRAME) + b'{"frame":' * (n // 9),
    "beginnings of frames, with an end": lambda make, n: make.journal(FRAME) + b'{"frame":' * (n // 9) + b'"}\n',
    "beginnings of frames in lines": lambda make, n: make.journal(FRAME) + b'{"frame":\n' * (n // 10),
    "beginnings and ends": lambda make, n: make.journal(FRAME) + b'{"frame":,"check":"' * (n // 19) + b'"}\n',
    "quotes": lambda make, n: make.journal(FRAME) + b'{"frame":{"frame":' + b'"' * n + b'"}\n',
    "backslashes": lambda make, n: make.journal(FRAME) + b'{"frame":{"frame":' + b'"' + b"\\" * n + b'"}\n',
    "lines": lambda make, n: make.journal(FRAME) + b"\n" * n,
    "zeros before more": lambda make, n: make.journal(FRAME) + b"\0" * n + b"x",
    "the first frame damaged": lambda make, n: make.journal(n).replace(b'"id"', b'"ID"', 1),
    "every frame damaged": lambda make, n: make.journal(n).replace(b'"id"', b'"ID"'),
    "every second frame damaged": lambda make, n: b"".join(
        line.replace(b'"id"', b'"ID"' if number % 2 else b'"id"')
        for number, line in enumerate(make.journal(n).splitlines(keepends=True))
    ),
    "no line ends": lambda make, n: make.journal(n).replace(b"\n", b" "),
    "no line ends behind the header": lambda make, n: b"\n".join(
        line.replace(b"\n", b" ") for line in make.journal(n).split(b"\n", 1)
    ),
    "a deep header": lambda make, n: b'{"snaptable":' + b"[" * n + b"\n" + make.journal(FRAME),
    "a header that does not end": lambda make, n: b'{"snaptable":"' + b'\\"' * (n // 2) + make.journal(FRAME),
    "a header with a long salt": lambda make, n: make.journal(FRAME).replace(b'"salt":"', b'"salt":"' + b"0" * n, 1),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Give what makes sound files."""
    return Maker(tmp_path_factory.mktemp("made") / "store")


def put(directory: Path, snapshot: bytes | None, journal: bytes | None) -> Files:
    """Put files into a directory, in the place of all that is there."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    if snapshot is not None:
        (directory / SNAPSHOT).write_bytes(snapshot)
    if journal is not None:
        (directory / JOURNAL).mkdir(mode=0o700)
        (directory / JOURNAL / "1.jsonl").write_bytes(journal)
    return Files(directory, fsync=False)


def recover(files: Files, models: type[Store]) -> None:
    """Read a directory's files as opening does."""
    recover_untyped(files, None)


def read_one(
    read: Callable[[Files, type[Store]], object], directory: Path, snapshot: bytes | None, journal: bytes | None
) -> None:
    """Put files into a directory, and one reader to them."""
    with suppress(OpenError):
        read(put(directory, snapshot, journal), Store)


def read_all(directory: Path, snapshot: bytes | None, journal: bytes | None) -> None:
    """Put files into a directory, and every reader to them; the one that may change them comes last."""
    files = put(directory, snapshot, journal)
    check_store(files)
    readers: list[Callable[[], object]] = [
        lambda: check_models(files, Store),
        lambda: plan_repair(files),
        lambda: plan_repair(files, discard_edit=True),
    ]
    if snapshot is not None:
        readers += [
            lambda: examine(files, snapshot),
            lambda: examine(files, snapshot, validator_of(Store)),
            lambda: examine_discarding(files, snapshot),
        ]
    for read in readers:
        with suppress(OpenError):
            read()
    with suppress(OpenError), Store(directory, fsync=False):
        pass


@pytest.mark.parametrize("shape", SNAPSHOTS)
def test_a_snapshot_costs_at_most_in_proportion(tmp_path: Path, make: Maker, shape: str) -> None:
    """Ensure that no reader's time grows with the square of a snapshot, however that is damaged."""
    directory = tmp_path / "data"
    assert_proportional(lambda data: read_all(directory, data, None), lambda n: SNAPSHOTS[shape](make, n), 8192)


@pytest.mark.parametrize("shape", JOURNALS)
def test_a_journal_costs_at_most_in_proportion(tmp_path: Path, make: Maker, shape: str) -> None:
    """Ensure the same of a journal without a snapshot."""
    directory = tmp_path / "data"
    assert_proportional(lambda data: read_all(directory, None, data), lambda n: JOURNALS[shape](make, n), 8192)


def test_naming_every_row_costs_at_most_in_proportion(tmp_path: Path, make: Maker) -> None:
    """Ensure that a check against models which no row fits looks for the rows' lines once, not once for each row."""
    directory = tmp_path / "data"
    assert_proportional(
        lambda data: read_one(check_models, directory, data, None),
        lambda n: SNAPSHOTS["sealed, an unknown field"](make, n),
        131_072,
    )


@pytest.mark.parametrize("shape", [shape for shape in JOURNALS if "frames" in shape])
def test_looking_for_a_frame_costs_at_most_in_proportion(tmp_path: Path, make: Maker, shape: str) -> None:
    """Ensure that what looks like the beginning of a frame is not verified once for each time it stands in a line."""
    directory = tmp_path / "data"
    assert_proportional(
        lambda data: read_one(recover, directory, None, data), lambda n: JOURNALS[shape](make, n), 65_536
    )


@pytest.mark.parametrize("place", ["its first byte", "its row", "its end", "its line's end"])
def test_a_frame_behind_damage_is_found_among_what_looks_like_one(tmp_path: Path, make: Maker, place: str) -> None:
    """Ensure that rows full of frames hide neither damage in front of a whole frame, nor that frame."""
    journal = make.journal(2048, LIKE_A_FRAME)
    _, first, _ = journal.splitlines(keepends=True)
    start = journal.index(first)
    offset = {"its first byte": 0, "its row": len(first) // 2, "its end": len(first) - 3, "its line's end": -1}[place]
    damaged = bytearray(journal)
    damaged[start + offset % len(first)] ^= 1
    directory = tmp_path / "data"
    (directory / JOURNAL).mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    (directory / JOURNAL / "1.jsonl").write_bytes(damaged)
    with pytest.raises(CorruptJournal, match="a whole frame"), Store(directory, fsync=False):
        pass
