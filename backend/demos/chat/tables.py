"""The tables of the chat."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from snaptable import Database, ForeignKey, Index, OnUpdate, Row, Table, new_id, numbered, utc_now

MAX_TEXT = 20_000
"""Characters of a message."""


class Conversation(Row):
    """Messages that belong together."""

    id: str = Field(default_factory=new_id)
    title: str
    message_count: int = 0
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: Annotated[datetime, OnUpdate(utc_now), Index(ordered=True)] = Field(default_factory=utc_now)


class Message(Row):
    """What a user wrote, or what was answered."""

    id: int = numbered()
    conversation_id: Annotated[str, ForeignKey(Conversation, on_delete="cascade")]
    role: Literal["user", "assistant"]
    content: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Of an answer: `model`, and `sources`, the messages that it was made of."""
    created_at: datetime = Field(default_factory=utc_now)


class Chat(Database):
    """Conversations and their messages."""

    conversations: Table[Conversation]
    messages: Table[Message]
