"""Stored rows as responses: they were validated when they were written, and are serialised once, by their own model."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from snaptable import Row
from snaptable.codec.set_order import serializer_of
from snaptable.secrets import secret_fields
from snaptable.web.etags import IfMatch, etag_of, is_known

SHAPE_WORDS = ("type", "format", "enum", "const", "anyOf", "items", "prefixItems", "additionalProperties")
"""The words of a JSON schema that say what JSON there is; the others describe or bound it."""

RowT = TypeVar("RowT", bound=Row)


class JsonResponse(Response):
    """A response whose body is JSON bytes already, and whose headers are few: made in a third of the usual time."""

    media_type = "application/json"

    def __init__(self, content: bytes, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Take the body, and headers beside its length and type."""
        self.status_code, self.body, self.background = status_code, content, None
        self.raw_headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
        for name, value in (headers or {}).items():
            self.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))


class RowResponder(Generic[RowT]):
    """The responses for rows of one model, documented by the model that FastAPI is given as `response_model`."""

    def __init__(self, model: type[RowT], documented: type[BaseModel]) -> None:
        """Compare the two models.

        Raises:
            TypeError: the row's JSON is not what is documented, a field too many could be a secret; or it has secrets.
        """
        if secrets := secret_fields(model):
            raise TypeError(f"{model.__name__}.{min(secrets)} is secret: answer with a model of the other fields")
        if json_shape(model) != json_shape(documented):
            raise TypeError(f"rows of {model.__name__} are not sent as {documented.__name__} says")
        self._serializer = serializer_of(model)

    def one(self, row: RowT, status: int = 200, request: Request | None = None) -> Response:
        """Return the response that holds one row, with its `ETag`; O(its JSON).

        Args:
            row: as stored.
            status: of HTTP.
            request: of a GET, whose If-None-Match is then answered by 304.
        """
        data = self._serializer.to_json(row)
        headers = {"ETag": etag_of(data)}
        if request is not None and is_known(request.scope, headers["ETag"]):
            return Response(None, 304, headers)
        return JsonResponse(data, status, headers)

    def if_match(self, request: Request) -> Callable[[RowT], None]:
        """Return the check of the request's If-Match, to be called with the row in the transaction that changes it.

        Returns:
            a function that raises a Problem, 412 with the row's present tag, if the row is another than was read.
        """
        condition = IfMatch(request.scope)

        def check(row: RowT) -> None:
            """Refuse a row that is another than was read."""
            if not condition.any:
                condition.check(etag_of(self._serializer.to_json(row)))

        return check

    def page(self, page: tuple[bytes, str | None]) -> Response:
        """Return the response that holds a page of a list, as `Query.page_json` gives it: `{items, next_cursor}`."""
        items, cursor = page
        return JsonResponse(b'{"items":%b,"next_cursor":%b}' % (items, to_json(cursor)))


def json_shape(model: type[BaseModel]) -> object:
    """Return what JSON a model gives: the members and types of its JSON schema, without what only describes them."""
    document = model.model_json_schema(mode="serialization")

    def strip(schema: object, enclosing: tuple[str, ...] = ()) -> object:
        """Return a schema's shape; `enclosing` are the types it stands in, the outermost first."""
        if isinstance(schema, list):
            return [strip(part, enclosing) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            # A type within itself: its place, counted from the outermost, as the models may name it differently.
            if name in enclosing:
                return enclosing.index(name)
            return strip(document["$defs"][name], (*enclosing, name))
        if "properties" in schema:
            return {name: strip(member, enclosing) for name, member in schema["properties"].items()}
        return {word: strip(schema[word], enclosing) for word in SHAPE_WORDS if word in schema}

    return strip(document)
