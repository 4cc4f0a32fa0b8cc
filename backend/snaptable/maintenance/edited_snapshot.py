"""A snapshot that was edited by hand, read as far as that needs neither its layout, its checksum, nor models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snaptable.errors import SchemaMismatch, SnapshotEdited, UnsupportedFormat, listed
from snaptable.maintenance.row_problems import MAX_SHOWN, RowProblem, row_lines
from snaptable.maintenance.untyped import Rows
from snaptable.storage.disk import names
from snaptable.storage.snapshot import damage
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.values.row_lines import row_json
from snaptable.values.strict_json import MAX_DEPTH, depth_of


@dataclass(frozen=True)
class EditedSnapshot:
    """The content of an edited file.

    Attributes:
        path: the file's path.
        data: its bytes.
        header: its header; counts and checksum need not be true.
        rows: its rows.
    """

    path: str
    data: bytes
    header: snapshot_format.SnapshotHeader
    rows: Rows


def is_as_written(path: str, data: bytes) -> bool:
    """Return whether a file is a snapshot as the library wrote it; raises CorruptSnapshot if it is damaged."""
    if not snapshot_format.is_ours(data):
        return False
    try:
        snapshot_format.read(path, data)
    except SnapshotEdited:
        return False
    return True


def read_edited(path: str, data: bytes, *, strictly: bool = True) -> EditedSnapshot:
    """Return the content of an edited file.

    Args:
        path: the file's path, for messages.
        data: its content.
        strictly: refuse what is not a table or a row; else leave it out.

    Raises:
        CorruptSnapshot: it is not strict JSON, or its header is incomplete.
        UnsupportedFormat: it is not a snapshot of this library, or one of another format.
        SchemaMismatch: something in it is not a table or a row.
    """
    # 1. Strict JSON, with a header.
    try:
        plain = damage.parse_file(data)
    except (ValueError, RecursionError):
        raise damage.explain(path, data, has_header=False) from None
    if not isinstance(plain, dict) or not isinstance(plain.get("snaptable"), dict):
        raise UnsupportedFormat(
            f"{path} is not a snapshot of this library: it doesn't begin with its header", path=path
        )
    # 2. The header; the checksum is that of the file before the edit.
    head = plain.pop("snaptable")
    plain.pop("checksum", None)
    if not names.can_read(head.get("format"), head):
        raise damage.unsupported(path, head.get("format"))
    header = snapshot_format.decode_header(path, head)
    # 3. The rows.
    problems: list[RowProblem] = []
    rows = {table: dict(_rows_of(table, content, problems)) for table, content in plain.items()}
    if strictly:
        refuse_edit(path, data, problems)
    return EditedSnapshot(path, data, header, rows)


def _rows_of(table: str, content: object, problems: list[RowProblem]) -> Iterator[tuple[str, bytes]]:
    if not isinstance(content, dict):
        problems.append(RowProblem(f"{table}: no table, which is an object of rows by key"))
        return
    for key, row in content.items():
        if not isinstance(row, dict):
            problems.append(RowProblem.of(table, key, "no row, which is an object of fields"))
        elif depth_of(row) > MAX_DEPTH:
            problems.append(RowProblem.of(table, key, f"nested deeper than {MAX_DEPTH}"))
        else:
            yield key, row_json(row)


def refuse_edit(path: str, data: bytes, problems: Sequence[RowProblem]) -> None:
    """Refuse an edit that has problems, naming the line of each row in the edited file.

    Raises:
        SchemaMismatch: there are problems.
    """
    if not problems:
        return
    lines = row_lines(data)
    places = [lines.get((problem.table or "", problem.key or "")) for problem in problems]
    texts = [
        f"line {line}: {problem.text}" if line else problem.text for line, problem in zip(places, problems, strict=True)
    ]
    raise SchemaMismatch(
        "\n  ".join([f"{path}: the edit can't be taken over; nothing was changed:", *listed(texts, MAX_SHOWN)]),
        path=path,
        line=next(filter(None, places), None),
    )
