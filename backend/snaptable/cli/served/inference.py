"""What the rows of a JSON file are, inferred: tables, keys, types, what refers to what, what each row has for itself.

Nothing is guessed that the rows contradict: a reference is one only if every value is a key there, a unique field only
if no value is there twice.
"""

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from snaptable import Database
from snaptable.interchange import ParsedFile, Record

UNIQUE_NAMES = ("email", "username", "login", "slug", "handle", "isbn", "sku", "uuid", "phone")
"""Fields whose names say that each row has a value of its own."""
KEY_NAMES = ("id", "_id", "key", "uuid", "code", "slug", "sku", "isbn")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?")
_REFERENCE = re.compile(r"(.+?)(?:_id|Id|_key|ID)")
_HIDDEN_BY_DEFAULTS = (
    "date", "datetime", "str", "int", "float", "bool", "list", "tuple",
    "Annotated", "Any", "Field", "ForeignKey", "PrimaryKey", "Unique", "new_id",
)  # fmt: skip
"""What types are written with: a field that is called so and has a default would stand in its place in the class."""
_CLASSES = ("Row", "Table", "Database", "Annotated", "Any", "Field", "ForeignKey", "PrimaryKey", "Unique")
"""What models are written with, so that none is called so."""
_RESERVED = {name for name in dir(Database) if not name.startswith("__")} | {"snaptable", "checksum"}
MOST_DANGLING = 3


@dataclass
class InferredField:
    """A field of a table.

    Attributes:
        given: its name in the file.
        name: its name in the model; another one, where the file's can't be one.
        kind: its type, as Python is written.
        is_optional: whether some row lacks it, or has null.
        target: the table that it refers to; None for none.
        is_unique: whether each row has a value of its own.
    """

    given: str
    name: str
    kind: str
    is_optional: bool = False
    target: str | None = None
    is_unique: bool = False


@dataclass
class InferredTable:
    """A table of a file.

    Attributes:
        given: its name in the file.
        name: its name in the Database class.
        model: the name of its rows' class.
        key: the field that is the key; None if the file has none, so that the table numbers its rows.
        is_numbered: whether keys are numbers that the table gives out.
        fields: in the order of the file, the key's among them.
        records: its rows.
    """

    given: str
    name: str
    model: str
    key: str | None
    is_numbered: bool
    fields: list[InferredField]
    records: Sequence[Record]

    @property
    def mapping(self) -> dict[str, str]:
        """The fields by the file's names."""
        return {each.given: each.name for each in self.fields}


@dataclass
class Inferred:
    """The tables of a file, and what people are told of how they were found.

    Attributes:
        tables: the tables.
        notes: what was not taken, or looked like something that it isn't.
    """

    tables: list[InferredTable]
    notes: list[str] = field(default_factory=list)


def infer(parsed: ParsedFile) -> Inferred:
    """Return what the rows of a file are; O(rows)."""
    result = Inferred([])
    taken: dict[str, None] = {}
    models: dict[str, None] = {}
    for given, records in parsed.tables.items():
        name = _free(_identifier(given or "rows"), (*taken, *_RESERVED))
        taken[name] = None
        model = _free(_model_name(name), models)
        models[model] = None
        result.tables.append(_table(given, name, model, records, result.notes))
    result.notes += [f'"{name}" was left out: it is no list or map of objects' for name in parsed.ignored]
    _find_references(result)
    return result


def _free(name: str, taken: Iterable[str]) -> str:
    known = set(taken)
    while name in known:
        name += "_"
    return name


def _identifier(text: str) -> str:
    """Return the name of an attribute for any text: `first name` as first_name, `_id` as id."""
    plain = unicodedata.normalize("NFKC", text)  # as Python reads names
    name = re.sub(r"\W+", "_", plain.removeprefix("$")).strip("_") or "field"
    name = f"n{name}" if name[0].isdigit() else name
    if keyword.iskeyword(name) or name.startswith("model_") or name in ("copy", "json", "dict", "schema", "construct"):
        name += "_"
    return name if name.isidentifier() else "field"


def _model_name(table: str) -> str:
    singular = _singular(table)
    parts = [part for part in re.split(r"_+", singular) if part]
    name = _as_identifier("".join(part[0].upper() + part[1:] for part in parts))
    return f"{name}Row" if name in _CLASSES else name


def _as_identifier(name: str) -> str:
    """Return a class's name if it is one, as Python reads it."""
    plain = unicodedata.normalize("NFKC", name)
    return plain if plain.isidentifier() and not keyword.iskeyword(plain) else "Record"


def _singular(name: str) -> str:
    if name.endswith("ies") and len(name) > 4:
        return f"{name[:-3]}y"
    if name.endswith(("sses", "shes", "ches", "xes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") and len(name) > 2 else name


# ── one table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _table(given: str, name: str, model: str, records: Sequence[Record], notes: list[str]) -> InferredTable:
    rows = [record.values for record in records]
    names = list(dict.fromkeys(each for row in rows for each in row))
    key = _key_of(names, rows)
    fields: list[InferredField] = []
    for each in names:
        values = [row.get(each) for row in rows]
        taken = [*(other.name for other in fields), *(["id"] if key is None else [])]
        if any(value is None for value in values):
            taken += _HIDDEN_BY_DEFAULTS
        chosen = _free(_identifier(each), taken)
        if chosen != each:
            notes.append(f'{name}: "{each}" is called {chosen}')
        fields.append(_field(each, chosen, values, is_key=each == key))
    own = next((other for other in fields if other.given == key), None)
    if own is not None:
        own.kind = "int" if own.kind == "int" else "str"
        return InferredTable(given, name, model, own.name, own.kind == "int", fields, records)
    is_numbered = not _has_keys_beside(records)
    if is_numbered:
        notes.append(f"{name}: no field is different in each row, so the table numbers its rows as `id`")
    return InferredTable(given, name, model, None, is_numbered, fields, records)


def _field(given: str, name: str, values: Sequence[object], *, is_key: bool) -> InferredField:
    there = [value for value in values if value is not None]
    made = InferredField(given, name, _kind(values), len(there) < len(values))
    is_named_so = not is_key and name.lower() in UNIQUE_NAMES and made.kind == "str"
    made.is_unique = is_named_so and len(there) == len(set(there))
    return made


def _has_keys_beside(records: Sequence[Record]) -> bool:
    """Return whether each row's key stands beside it, as in a map."""
    return bool(records) and all(record.key is not None for record in records)


def _key_of(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str | None:
    """Return the field that is the key: one of a usual name, of texts or of numbers, different in each row."""
    for name in KEY_NAMES:
        if name in names:
            values = [row.get(name) for row in rows]
            alike = {type(value) for value in values} in ({int}, {str})
            if alike and len(set(values)) == len(values) and all(value != "" for value in values):
                return name
    return None


def _kind(values: Iterable[Any]) -> str:
    """Return the type of some values, as Python is written."""
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if not there:
        return "Any"
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    if kinds <= {int, float}:
        return "float"
    if kinds == {str}:
        return _kind_of_texts(there)
    if kinds == {list}:
        items = [item for value in there for item in value]
        inner = "Any" if None in items else _kind(items)
        return f"tuple[{inner}, ...]" if inner in ("str", "int", "float", "bool") else "list[Any]"
    return "dict[str, Any]" if kinds == {dict} else "Any"


def _kind_of_texts(texts: Sequence[str]) -> str:
    """Return the type of texts: days and times only where every one is, and all with a zone or none."""
    try:
        if all(_DATE.fullmatch(text) and date.fromisoformat(text) for text in texts):
            return "date"
        if all(_TIME.fullmatch(text) for text in texts):
            zones = {datetime.fromisoformat(text).tzinfo is None for text in texts}
            return "datetime" if len(zones) == 1 else "str"
    except ValueError:
        pass
    return "str"


# ── between tables ──────────────────────────────────────────────────────────────────────────────────────────────────


def _find_references(result: Inferred) -> None:
    """Mark the fields that hold keys of another table, by their names and by every one of their values."""
    keys = {table.name: _keys(table) for table in result.tables}
    for table in result.tables:
        for each in table.fields:
            match = _REFERENCE.fullmatch(each.given)
            target = _called(match[1], result.tables) if match and each.name != table.key else None
            if target is None:
                continue
            values = [record.values.get(each.given) for record in table.records]
            there = [value for value in values if value is not None]
            missing = {
                str(value) for value in there if isinstance(value, list | dict) or value not in keys[target.name]
            }
            if there and not missing:
                each.target, each.kind = target.name, _key_kind(target)
            elif missing:
                some = ", ".join(sorted(missing)[:MOST_DANGLING])
                result.notes.append(
                    f"{table.name}.{each.name} looks like a reference to {target.name}, but {len(missing)} of its "
                    f"values are no key there ({some}{', …' * (len(missing) > MOST_DANGLING)})"
                )


def _key_kind(table: InferredTable) -> str:
    if table.key is None:
        return "int" if table.is_numbered else "str"
    return next(each.kind for each in table.fields if each.name == table.key)


def _keys(table: InferredTable) -> set[object]:
    if table.key is None:
        return {record.key for record in table.records} if not table.is_numbered else set()
    given = next(each.given for each in table.fields if each.name == table.key)
    return {record.values.get(given) for record in table.records}


def _called(text: str, tables: Sequence[InferredTable]) -> InferredTable | None:
    """Return the table that `user`, as in user_id and userId, means."""
    wanted = _plain(text)
    return next((table for table in tables if wanted in (_plain(table.name), _plain(_singular(table.name)))), None)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())
