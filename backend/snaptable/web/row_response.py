"""Send stored rows as JSON in one go: they were validated when they were written, and need not be on the way out."""

import json
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from starlette.responses import Response

from snaptable import Row

SHAPE_WORDS = ("type", "format", "enum", "const", "anyOf", "items", "prefixItems", "additionalProperties")

RowT = TypeVar("RowT", bound=Row)


class JsonResponse(Response):
    """Be JSON that is bytes already."""

    media_type = "application/json"


class RowResponder(Generic[RowT]):
    """Send rows of one model, documented as `shape`, the model that FastAPI is given as `response_model`."""

    def __init__(self, model: type[RowT], shape: type[BaseModel]) -> None:
        """Prepare the serialiser.

        Raises:
            TypeError: the row's JSON is not what is documented; a field too many could be a secret.
        """
        if _shape(model) != _shape(shape):
            raise TypeError(f"rows of {model.__name__} are not sent as {shape.__name__} says")
        self._row = model.__pydantic_serializer__

    def one(self, row: RowT, status: int = 200) -> Response:
        """Return the response that holds one row."""
        return JsonResponse(self._row.to_json(row), status)

    def page(self, page: tuple[bytes, str | None]) -> Response:
        """Return the response that holds a page of a list, as `Query.page_json` gives it."""
        items, cursor = page
        return JsonResponse(b'{"items":%b,"next_cursor":%b}' % (items, json.dumps(cursor).encode()))


def _shape(model: type[BaseModel]) -> Any:
    """Return what JSON a model gives: the members and types of its JSON schema, without what only describes them."""
    document = model.model_json_schema(mode="serialization")

    def strip(schema: Any, outer: tuple[str, ...] = ()) -> Any:
        if isinstance(schema, list):
            return [strip(part, outer) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            # A type within itself: which one, counted from the outermost, as the two models may name it differently.
            return outer.index(name) if name in outer else strip(document["$defs"][name], (*outer, name))
        if "properties" in schema:
            return {name: strip(member, outer) for name, member in schema["properties"].items()}
        return {word: strip(schema[word], outer) for word in SHAPE_WORDS if word in schema}

    return strip(document)
