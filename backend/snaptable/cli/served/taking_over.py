"""The rows of a JSON file, taken over into a store beside it; the file is read, never written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snaptable import Database, SnaptableError, attribution
from snaptable.cli.common import UsageError
from snaptable.cli.served.inference import Inferred, InferredTable, infer
from snaptable.cli.served.models_text import models_of, models_text
from snaptable.interchange import read_file

CLASS = "Served"


@dataclass
class TakenOver:
    """A file's models, and the store beside it.

    Attributes:
        file: the file.
        store: the store's directory.
        inferred: its tables, and what people are told.
        models: the Database class.
        text: the same as Python.
        is_new: whether the store isn't there yet.
    """

    file: Path
    store: Path
    inferred: Inferred
    models: type[Database]
    text: str

    @property
    def is_new(self) -> bool:
        """Whether the store isn't there yet."""
        return not (self.store / "db_snapshot.json").exists() and not (self.store / "db_journal").exists()


def take_over(path: str, store: str | None) -> TakenOver:
    """Read a file, and infer its models; nothing is written.

    Raises:
        UnreadableFile: it can't be read.
        UsageError: it holds no rows.
    """
    file = Path(path)
    parsed = read_file(file)
    inferred = infer(parsed)
    if not inferred.tables:
        raise UsageError(f"{file} has no list or map of objects, so there is nothing to serve")
    text = models_text(inferred.tables, file.name, CLASS)
    place = Path(store) if store else file.with_name(f"{file.stem}-data")
    return TakenOver(file, place, inferred, models_of(text, CLASS), text)


def fill(db: Database, tables: Sequence[InferredTable], file: Path) -> int:
    """Insert the file's rows, as one commit, and return how many there were.

    Raises:
        UsageError: a row doesn't fit after all; nothing was inserted.
    """
    count = 0
    try:
        with attribution(via="snaptable serve"), db.transaction(note=f"taken over from {file.name}"):
            for table in tables:
                for record in table.records:
                    db.tables[table.name].create(**_values(table, record.values, record.key))
                    count += 1
    except SnaptableError as error:
        raise UsageError(f"{file}: {error}; the store was left empty") from error
    return count


def _values(table: InferredTable, values: object, key: str | None) -> dict[str, object]:
    assert isinstance(values, dict)
    row = {table.mapping[name]: value for name, value in values.items()}
    if table.key is None and not table.is_numbered:
        row["id"] = key
    return row
