"""Inferred tables as Python: what one would write, to begin with."""

import re
import sys
from collections.abc import Sequence
from types import ModuleType

from snaptable import Database
from snaptable.cli.served.inference import InferredField, InferredTable

MODULE = "snaptable_served_models"


def models_text(tables: Sequence[InferredTable], source: str, class_name: str) -> str:
    """Return the models as a module; O(fields).

    Args:
        tables: the tables.
        source: the file's name, for the docstring.
        class_name: the name of the Database class.
    """
    body = "\n\n\n".join(_model_text(table) for table in _targets_first(tables))
    lines = "\n".join(f"    {table.name}: Table[{table.model}]" for table in tables)
    source = re.sub(r"[^\w .,()+-]", "_", source)  # what a docstring could not end in, whoever named the file
    parts = [
        f'"""Models inferred from {source} by `snaptable serve`; they are yours to change."""\n',
        f"{_imports(tables, body)}\n\n",
        f"{body}\n\n",
        f'class {class_name}(Database):\n    """The tables of {source}."""\n\n{lines}\n',
    ]
    return "\n".join(parts)


def _imports(tables: Sequence[InferredTable], body: str) -> str:
    """Return the imports of what the models use."""
    kinds = {each.kind for table in tables for each in table.fields}
    lines = [f"from datetime import {name}" for name in ("date", "datetime") if name in kinds]
    if len(lines) > 1:
        lines = ["from datetime import date, datetime"]
    typing = [name for name in ("Annotated", "Any") if re.search(rf"\b{name}\b", body)]
    lines += [f"from typing import {', '.join(typing)}"] if typing else []
    lines += [""] if lines else []
    lines += ["from pydantic import Field", ""] if "Field(" in body else []
    marks = [name for name in ("ForeignKey", "PrimaryKey") if f"{name}(" in body]
    others = [name for name in ("Unique(", "new_id") if name in body]
    names = ["Database", *marks, "Row", "Table", *(name.rstrip("(") for name in others)]
    return "\n".join([*lines, f"from snaptable import {', '.join(names)}"])


def _targets_first(tables: Sequence[InferredTable]) -> list[InferredTable]:
    """Return tables so that those come first to which others refer; in a circle, as they stand."""
    left, ordered = list(tables), list[InferredTable]()
    while left:
        known = {table.name for table in ordered}
        free = [table for table in left if all(each.target in (None, table.name, *known) for each in table.fields)]
        chosen = free or left[:1]
        ordered += chosen
        left = [table for table in left if table not in chosen]
    return ordered


def _model_text(table: InferredTable) -> str:
    lines = [f"class {table.model}(Row):", f'    """A row of {table.name}."""', ""]
    if table.key is None:
        lines.append(
            "    id: int | None = None" if table.is_numbered else "    id: str = Field(default_factory=new_id)"
        )
    required = [each for each in table.fields if not each.is_optional or each.name == table.key]
    optional = [each for each in table.fields if each not in required]
    lines += [f"    {_field_text(table, each)}" for each in (*required, *optional)]
    return "\n".join(lines)


def _field_text(table: InferredTable, each: InferredField) -> str:
    if each.name == table.key:
        return _key_text(table, each)
    kind = each.kind if not each.is_optional or each.kind == "Any" else f"{each.kind} | None"
    marks = [f'ForeignKey("{each.target}")'] if each.target is not None else []
    marks += ["Unique()"] if each.is_unique else []
    written = f"Annotated[{kind}, {', '.join(marks)}]" if marks else kind
    return f"{each.name}: {written}{' = None' if each.is_optional else ''}"


def _key_text(table: InferredTable, each: InferredField) -> str:
    mark = "" if each.name == "id" else ", PrimaryKey()"
    if table.is_numbered:
        return f"{each.name}: {f'Annotated[int | None{mark}]' if mark else 'int | None'} = None"
    kind = f"Annotated[str{mark}]" if mark else "str"
    return f"{each.name}: {kind} = Field(default_factory=new_id)"


def models_of(text: str, class_name: str) -> type[Database]:
    """Return the Database class of a module's text, which this program has written itself."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module  # where Pydantic looks names up
    exec(compile(text, f"<{MODULE}>", "exec"), module.__dict__)  # noqa: S102 - names in it were made identifiers
    made = getattr(module, class_name)
    assert isinstance(made, type)
    assert issubclass(made, Database)
    return made
