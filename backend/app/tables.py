"""The rows of the reference backend: what `db_snapshot.json` holds."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat
from pydantic_core import PydanticKnownError

from snaptable import ForeignKey, Index, OnUpdate, Row, Secret, Unique, new_id, utc_now

AnnotationType = Literal["highlight", "note", "rectangle", "circle", "arrow", "freehand"]


def _within_float(value: object) -> object:
    """Refuse a whole number that is beyond a float: most readers of JSON could not hold it."""
    try:
        if isinstance(value, int):
            float(value)
    except OverflowError:
        raise PydanticKnownError("finite_number") from None
    return value


Number = Annotated[int | FiniteFloat, BeforeValidator(_within_float, json_schema_input_type=int | float)]
"""A number as it was sent: 1 stays 1, and 1.0 stays 1.0."""


class User(Row):
    """A person who can log in."""

    id: str = Field(default_factory=new_id)
    email: Annotated[str, Unique()]
    """In canonical form: unique without regard to case."""
    password_hash: Annotated[str, Secret()]
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: Annotated[datetime, OnUpdate(utc_now)] = Field(default_factory=utc_now)
    is_admin: bool = False
    """Whether they may use the admin page, which shows and changes the rows of all."""
    deleted_at: datetime | None = None
    """When the account was deleted: it is unusable, and what belongs to it is being removed."""


class Session(Row):
    """A login; only the client knows its token. It has no past: going back in time brings no login back."""

    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    token_sha256: Annotated[str, Unique(), Secret()]
    created_at: datetime = Field(default_factory=utc_now)
    expires_at: Annotated[datetime, Index(ordered=True)]


class Document(Row):
    """A PDF; its bytes are the blob named by `sha256`."""

    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    filename: str
    total_pages: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Index()]
    upload_date: datetime = Field(default_factory=utc_now)
    metadata: dict[str, Any]


class Box(BaseModel):
    """A rectangle on a page."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: Number
    y: Number
    width: Number
    height: Number


class Extraction(Row):
    """A named piece of text taken from a page."""

    id: str = Field(default_factory=new_id)
    document_id: Annotated[str, ForeignKey(Document, on_delete="cascade")]
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    field_name: str
    text: str
    page: int
    coordinates: Box
    method: str
    timestamp: datetime = Field(default_factory=utc_now)


class Annotation(Row):
    """A mark on a page."""

    id: str = Field(default_factory=new_id)
    document_id: Annotated[str, ForeignKey(Document, on_delete="cascade")]
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    page_num: int
    type: AnnotationType
    coordinates: dict[str, Any]
    """Any JSON object: what it holds depends on the type."""
    content: str | None
    color: str | None
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: Annotated[datetime, OnUpdate(utc_now)] = Field(default_factory=utc_now)
