"""The shapes of requests and responses, as the OpenAPI document shows them."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    StringConstraints,
    with_config,
)
from pydantic_core import PydanticKnownError
from typing_extensions import TypedDict

from app.security.passwords import MAX_PASSWORD_BYTES
from app.tables import AnnotationType, Number

MIN_PASSWORD = 8

STRICT = ConfigDict(extra="forbid", strict=True)


def _as_whole_number(value: object) -> object:
    """Return 1 for 1.0, as JSON does: its numbers have one type."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_number(value: object) -> object:
    """Refuse what is not a number of JSON, in one error: a union of types would give one for each."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    return value


def _password(value: str) -> str:
    """Refuse a password that is short in composed characters, or would take long to hash."""
    if len(unicodedata.normalize("NFC", value)) < MIN_PASSWORD:
        raise ValueError(f"This has less than {MIN_PASSWORD} characters.")
    if len(value.encode("utf-8")) > MAX_PASSWORD_BYTES:
        raise ValueError(f"This has more than {MAX_PASSWORD_BYTES} bytes.")
    return value


_Page = Annotated[int, Field(ge=1, le=2**31 - 1)]
PageNumber = Annotated[_Page, BeforeValidator(_as_whole_number, json_schema_input_type=_Page)]
Coordinate = Annotated[Number, BeforeValidator(_as_number, json_schema_input_type=int | float)]
LongText = Annotated[str, StringConstraints(max_length=100_000)]
Color = Annotated[str, StringConstraints(max_length=64)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Input(BaseModel):
    """A request body: no unknown fields, no coercion."""

    model_config = STRICT


class Output(BaseModel):
    """A response body, filled from the attributes of a row."""

    model_config = ConfigDict(from_attributes=True)


NewPassword = Annotated[
    str,
    Field(
        min_length=MIN_PASSWORD,
        max_length=MAX_PASSWORD_BYTES,
        description="Not one of the 3,000 commonest, a mere pattern of keys, or little more than your address.",
    ),
    AfterValidator(_password),
]
OldPassword = Annotated[str, Field(max_length=MAX_PASSWORD_BYTES, description="The password you log in with.")]


class Registration(Input):
    """A new user."""

    email: EmailStr
    password: NewPassword


class PasswordChange(Input):
    """A new password, and the old one to show that it is yours."""

    old_password: OldPassword
    new_password: NewPassword


class Confirmation(Input):
    """The password, to show that it is you who asks."""

    password: OldPassword


class UserOut(Output):
    """A user, as shown to themselves."""

    id: str
    email: str
    created_at: datetime


class SessionOut(Output):
    """A login; its token is known to the client only."""

    id: str
    created_at: datetime
    expires_at: datetime
    """If it is not used any more."""
    current: bool
    """Whether it is the session of this very request."""


class SessionsOut(Output):
    """Your sessions, the youngest first."""

    items: list[SessionOut]


class TokenOut(Output):
    """A login, as OAuth2 answers it."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # no password, the kind of token


class DocumentOut(Output):
    """A document."""

    id: str
    user_id: str
    filename: str
    total_pages: int
    size: int
    sha256: str
    upload_date: datetime
    metadata: dict[str, Any]


class Coordinates(Input):
    """A rectangle on a page."""

    x: Coordinate
    y: Coordinate
    width: Coordinate
    height: Coordinate


class ExtractionIn(Input):
    """A new extraction."""

    document_id: str
    field_name: Name
    text: LongText
    page: PageNumber
    coordinates: Coordinates
    method: Name = "manual"


class CoordinatesOut(Output):
    """A rectangle on a page."""

    x: Number
    y: Number
    width: Number
    height: Number


class ExtractionOut(Output):
    """An extraction."""

    id: str
    document_id: str
    user_id: str
    field_name: str
    text: str
    page: int
    coordinates: CoordinatesOut
    method: str
    timestamp: datetime


class AnnotationIn(Input):
    """A new annotation; what its coordinates hold depends on its type."""

    document_id: str
    page_num: PageNumber
    type: AnnotationType
    coordinates: dict[str, Any]
    content: LongText | None = None
    color: Color | None = None


@with_config(STRICT)
class AnnotationChanges(TypedDict, total=False):
    """The fields of an annotation to change; what is left out stays."""

    page_num: PageNumber
    type: AnnotationType
    coordinates: dict[str, Any]
    content: LongText | None
    color: Color | None


class AnnotationOut(Output):
    """An annotation."""

    id: str
    document_id: str
    user_id: str
    page_num: int
    type: AnnotationType
    coordinates: dict[str, Any]
    content: str | None
    color: str | None
    created_at: datetime
    updated_at: datetime


ItemT = TypeVar("ItemT", bound=Output)


class PageOut(Output, Generic[ItemT]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[ItemT]
    next_cursor: str | None
