"""Secrets: fields that are stored and compared like any, and never shown.

A field is secret if the mark stands anywhere in its type: on the field, on an alternative or an item of it, or on a
field of a model inside it. It is masked whole. Whatever shows rows to people asks here: a row's `repr`, errors, history
and feed, exports, pages.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Final, get_args, get_origin, get_type_hints

from typing_extensions import TypeAliasType, is_typeddict

if TYPE_CHECKING:
    from pydantic import BaseModel

MASK: Final = "••••"
"""What is shown in the place of a secret."""


class Secret:
    """Mark of a field that is never shown: a password's hash, a token.

    It is stored, compared and indexed as it is, and is an ordinary attribute of the row. But the row's `repr`, errors,
    `Database.history`, its feed and `Query.page_json` don't show it. The primary key can't be a secret. The snapshot
    and the journal do hold it.

    >>> from typing import Annotated
    >>> from snaptable import Row
    >>> class Login(Row):
    ...     id: str
    ...     password_hash: Annotated[str, Secret()]
    >>> Login(id="ann", password_hash="$argon2id$…")
    Login(id='ann', password_hash=••••)
    """

    def __repr__(self) -> str:
        return "Secret()"


class Masked:
    """What stands in the place of a secret in a `repr`, without quotes."""

    def __repr__(self) -> str:
        return MASK


MASKED: Final = Masked()


def masked(fields: Mapping[str, object], secrets: Collection[str]) -> dict[str, object]:
    """Return a row's values by field name with `••••` in the place of its secrets; None stays None. O(fields).

    Args:
        fields: the values: as Python has them, or as JSON.
        secrets: the names of the secret fields, as `TableSchema.secrets` and `secret_fields` give them.

    >>> masked({"id": "ann", "password_hash": "$argon2id$…"}, {"password_hash"})
    {'id': 'ann', 'password_hash': '••••'}
    """
    return {name: MASK if name in secrets and value is not None else value for name, value in fields.items()}


def masked_value(names: tuple[str, ...], value: object, secrets: Collection[str]) -> object:
    """Return the value of one field, or the tuple of the values of several, without what is secret.

    >>> masked_value(("user_id", "token"), ("ann", "t0p"), {"token"})
    ('ann', '••••')
    """
    values = value if len(names) > 1 and isinstance(value, tuple) else (value,)
    shown = tuple(masked(dict(zip(names, values, strict=False)), secrets).values())
    return shown if values is value else shown[0]


# ── which fields are secret ─────────────────────────────────────────────────────────────────────────────────────────


def secret_fields(model: "type[BaseModel]") -> frozenset[str]:
    """Return the names of a model's secret fields; O(1) but for the first time."""
    known = model.__dict__.get("__secret_fields__")
    if known is None:
        known = frozenset(name for name, info in model.model_fields.items() if _is_secret(info, ()))
        if model.__pydantic_complete__:
            type.__setattr__(model, "__secret_fields__", known)
    return known


def _is_secret(part: object, enclosing: tuple[object, ...]) -> bool:
    """Return whether the mark stands anywhere in a field, or in a type; `enclosing` are the classes it stands in."""
    if part is Secret or isinstance(part, Secret):
        return True
    return any(_is_secret(inner, (*enclosing, part)) for inner in _parts(part) if inner not in enclosing)


def _parts(part: object) -> Iterator[object]:
    """Yield what a field or a type is made of: its marks, its alternatives and items, the fields of a class."""
    metadata, annotation = getattr(part, "metadata", None), getattr(part, "annotation", None)
    if isinstance(metadata, list):  # a field of a Pydantic model
        yield from metadata
        yield annotation
    elif isinstance(part, TypeAliasType):
        yield part.__value__
    elif get_origin(part) is Annotated:
        yield from (part.__origin__, *part.__metadata__)  # type: ignore[attr-defined]
    elif get_origin(part) is not None:
        yield from (get_origin(part), *get_args(part))
    elif isinstance(part, type):
        yield from _fields_of(part)


def _fields_of(kind: type) -> Iterator[object]:
    fields = kind.__dict__.get("__pydantic_fields__")
    if isinstance(fields, dict):
        yield from fields.values()
    elif is_dataclass(kind) or is_typeddict(kind) or hasattr(kind, "_fields"):
        scope = vars(sys.modules.get(kind.__module__, object))
        try:
            yield from get_type_hints(kind, scope, include_extras=True).values()
        except NameError:
            return  # made within a function: Pydantic knows its names, and nobody else does
