"""What a browser or a script sends to the admin page: parameters, forms, files, JSON."""

from functools import cached_property
from urllib.parse import parse_qsl

from starlette.datastructures import QueryParams
from starlette.requests import Request

from snaptable.admin import access, multipart, words
from snaptable.admin.multipart import SentFile
from snaptable.web.problems import Problem
from snaptable.web.request_json import NotStrictJson, parse_json

MAX_FIELDS = 10_000
"""Fields of a form."""


class SentRequest:
    """A request, and what its body says.

    Attributes:
        request: as it came.
        body: what was sent; read before the page is asked.
    """

    def __init__(self, request: Request) -> None:
        self.request, self.body = request, b""

    @property
    def query(self) -> QueryParams:
        """The parameters of the address."""
        return self.request.query_params

    @cached_property
    def form(self) -> QueryParams:
        """The fields of the form that was sent, as `application/x-www-form-urlencoded`; empty for any other body.

        Raises:
            Problem: 422, there are too many, or they are not in UTF-8.
        """
        content_type = self.request.headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            return QueryParams(self._multipart[0])
        if not content_type.startswith("application/x-www-form-urlencoded"):
            return QueryParams()
        try:
            pairs = parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError:
            raise Problem(422, "This form can't be read: nothing was done.") from None
        return QueryParams(pairs)

    @cached_property
    def _multipart(self) -> tuple[list[tuple[str, str]], dict[str, SentFile]]:
        try:
            return multipart.parse(self.request.headers.get("content-type", ""), self.body)
        except ValueError:
            raise Problem(422, "This form can't be read: nothing was done.") from None

    @property
    def files(self) -> dict[str, SentFile]:
        """The files of the form that was sent, by the names of their fields.

        Raises:
            Problem: 422, the form can't be read.
        """
        is_multipart = self.request.headers.get("content-type", "").startswith("multipart/form-data")
        return self._multipart[1] if is_multipart else {}

    @cached_property
    def sent_json(self) -> object:
        """The JSON that was sent.

        Raises:
            Problem: 422, it is none.
        """
        try:
            return parse_json(self.body)
        except NotStrictJson as error:
            raise Problem(422, str(error)) from None

    @property
    def sent_token(self) -> str | None:
        """The token of the session, as the request brings it."""
        return self.request.headers.get(access.TOKEN_HEADER) or self.form.get(access.TOKEN_FIELD)

    @property
    def wants_json(self) -> bool:
        """Whether a script asks, which takes JSON in place of a page."""
        return "application/json" in self.request.headers.get("accept", "")


async def body_of(request: Request, most: int) -> bytes:
    """Return a request's body.

    Raises:
        Problem: 413, it is larger than that.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise Problem(413, f"This is larger than {words.size(most)}: nothing was done.")
        parts.append(part)
    return b"".join(parts)
