"""What spells rows: a digest of all that decides how a row of these tables is written as JSON.

A snapshot names it beside the checksum of its rows (its *seal*). Rows that the very same code wrote need not be written
once more at the start to see that they would be written so. They are validated as ever.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from hashlib import blake2b
from typing import Literal, get_args, get_origin

from pydantic import VERSION, BaseModel
from pydantic_core import __version__ as core_version

from snaptable.codec import Codec
from snaptable.schema.tables import TableSchema
from snaptable.values.lasting import metadata_of
from snaptable.values.value_types import Annotation, alternatives

SPELLING = 2
"""To be raised whenever this library writes any row otherwise than before."""


def speller_of(codecs: Mapping[str, Codec]) -> str:
    """Return the digest of what spells the rows of some tables: 32 hex digits; O(fields)."""
    tables = {name: codec.schema.derive(_described) for name, codec in codecs.items() if codec.trusted}
    text = json.dumps([SPELLING, VERSION, core_version, tables], sort_keys=True)
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def _described(schema: TableSchema) -> list[str]:
    """Return what decides how rows of a table are written and read: the model's configuration, its fields in order."""
    return list(_descriptions(schema.model))


def _descriptions(model: type[BaseModel]) -> Iterator[str]:
    yield repr(sorted((name, repr(value)) for name, value in model.model_config.items()))
    for name, field in model.model_fields.items():
        marks = [*field.metadata, *metadata_of(field.annotation)]
        # Ours say nothing of the spelling, and have no text of their own.
        others = [repr(mark) for mark in marks if not type(mark).__module__.startswith("snaptable.")]
        yield f"{name} {field.alias!r} {_type_text(field.annotation)} {others}"


def _type_text(annotation: Annotation) -> str:
    return " | ".join(map(_part_text, alternatives(annotation)))


def _part_text(part: Annotation) -> str:
    origin = get_origin(part)
    if origin is not None and origin is not Literal:
        return f"{origin!r}[{', '.join(map(_type_text, get_args(part)))}]"
    if isinstance(part, type):
        members = [(member.name, repr(member.value)) for member in part] if issubclass(part, Enum) else ""
        return f"{part.__module__}.{part.__qualname__}{members}"
    return repr(part)
