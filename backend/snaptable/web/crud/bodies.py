"""The bodies that a router takes: derived from the row's model, or given; read strictly, as JSON."""

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, NotRequired, Required, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, with_config
from pydantic.fields import FieldInfo
from pydantic_core import to_json
from typing_extensions import TypedDict

from snaptable import TableSchema
from snaptable.web.body_errors import BodyErrors
from snaptable.web.problems import MAX_FIELD_ERRORS, Problem, field_errors_of

_STRICT = ConfigDict(extra="forbid", val_json_bytes="base64", hide_input_in_errors=True)
_typed_dict = cast(Callable[[str, dict[str, object]], type], TypedDict)
"""`TypedDict`, called with names that are known only when the router is made."""


class Body:
    """One kind of body: what is documented of it, and how it becomes values for a row."""

    def __init__(self, kind: type, fields: Collection[str], *, strict: bool | None) -> None:
        """Take a model, or a TypedDict.

        Args:
            kind: of which bodies are.
            fields: its members.
            strict: whether nothing stands for anything else; None for what the kind says.
        """
        self.kind = kind
        self.fields = frozenset(fields)
        self._adapter: TypeAdapter[object] = TypeAdapter(kind)
        self._is_model, self._strict = issubclass(kind, BaseModel), strict
        self._errors = BodyErrors(kind)

    def values(self, value: JsonValue, *, partly: bool = False) -> dict[str, object]:
        """Return the values of a body, by field name.

        Args:
            value: the body as it was parsed.
            partly: whether what was left out stays so, rather than get the model's default.

        Raises:
            Problem: 422, naming each field that is wrong, and every member that is not known.
        """
        try:
            # As JSON, for text stands for times there, and strictly, for it stands for nothing else.
            read = self._adapter.validator.validate_json(to_json(value), strict=self._strict)
        except ValidationError as error:
            if error.error_count() > MAX_FIELD_ERRORS:
                self._errors.check(value)  # thousands of errors are told at the cost of the first
            raise refused(error) from None
        if self._is_model:
            model = cast(BaseModel, read)
            return cast(dict[str, object], model.__pydantic_serializer__.to_python(model, exclude_unset=partly))
        return cast(dict[str, object], read)


def refused(error: ValidationError) -> Problem:
    """Return the 422 that names what Pydantic refused."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_FIELD_ERRORS]
    for one in errors:
        one["loc"] = ("body", *one["loc"])
    return Problem.invalid(*field_errors_of(errors))


def body_of(schema: TableSchema, suffix: str, left_out: Collection[str], *, partly: bool) -> Body:
    """Return the body that is derived from a table's model.

    Args:
        schema: the table's.
        suffix: what its name ends with, after the model's.
        left_out: the fields that it does not take.
        partly: whether every field may be left out, else only those with a default.
    """
    members: dict[str, object] = {}
    for name, info in schema.model.model_fields.items():
        if name in left_out:
            continue
        kind = _annotated(info, is_secret=name in schema.secrets)
        members[name] = Required[kind] if info.is_required() and not partly else NotRequired[kind]
    kind = _typed_dict(f"{schema.model.__name__}{suffix}", members)
    return Body(with_config(_STRICT)(kind), members, strict=True)


def given_body(kind: type) -> Body:
    """Return the body of a model, or a TypedDict, that the application gives."""
    fields = kind.model_fields if issubclass(kind, BaseModel) else kind.__annotations__
    return Body(kind, fields, strict=None)


def _annotated(info: FieldInfo, *, is_secret: bool) -> object:
    """Return a field's type with what bounds and describes it, but neither its default nor its alias."""
    extra: dict[str, JsonValue] = {}
    if is_secret:
        extra["writeOnly"] = True
    elif not info.is_required() and info.default_factory is None:
        extra["default"] = _json_of(info.default)
    described = Field(
        description=info.description,
        examples=info.examples,
        discriminator=info.discriminator,
        json_schema_extra=extra or None,
    )
    return Annotated[(info.annotation, *info.metadata, described)]


def _json_of(value: object) -> JsonValue:
    return TypeAdapter(type(value)).dump_python(value, mode="json")  # type: ignore[no-any-return]


def merged(target: JsonValue, patch: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a JSON object with a merge patch applied (RFC 7396): objects are merged, a null removes its member."""
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merged(result.get(name), value)
        else:
            result[name] = value
    return result


def patched(fields: Mapping[str, JsonValue], patch: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the fields that a merge patch names, as it makes them; a field's null is None, inside of one it removes.

    >>> patched({"id": 1, "box": {"x": 1, "y": 2}}, {"box": {"x": None, "z": 3}, "text": None})
    {'box': {'y': 2, 'z': 3}, 'text': None}
    """
    return {
        name: merged(fields.get(name), value) if isinstance(value, dict) else value for name, value in patch.items()
    }
