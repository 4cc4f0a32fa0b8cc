"""What is done in the chat."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from demos.chat.answers import Answer
from demos.chat.tables import Chat, Conversation, Message
from snaptable import asc
from snaptable.web import Problem

TITLE = 60
"""Characters of a conversation's title, the beginning of its first message."""
SOURCES = 5
"""Messages that an answer names as those it was made of."""


class Said(BaseModel):
    """What became of a message: the conversation as it is then, the message, and its answer."""

    conversation: Conversation
    message: Message
    answer: Message


def conversation_of(db: Chat, key: str) -> Conversation:
    """Return a conversation.

    Raises:
        Problem: 404.
    """
    conversation = db.conversations.get(key)
    if conversation is None:
        raise Problem(404, "There is no such conversation.")
    return conversation


def messages_of(db: Chat, key: str) -> list[Message]:
    """Return the messages of a conversation, in their order."""
    return db.messages.where(Message.conversation_id == key).order_by(asc(Message.id)).all()


async def say(db: Chat, answer: Answer, model: str, key: str | None, text: str) -> Said:
    """Answer a message, and keep both: first the answer, outside of any transaction, for it may take seconds.

    Args:
        db: where to.
        answer: gives the answer.
        model: its name.
        key: of the conversation; None for a new one.
        text: what the user wrote.

    Raises:
        Problem: 404, no such conversation exists, or it was deleted meanwhile; 502, no answer came. Nothing is kept.
    """
    history = [] if key is None else messages_of(db, conversation_of(db, key).id)
    asked = Message(id=0, conversation_id=key or "", role="user", content=text)
    try:
        answered = "".join([part async for part in answer([*history, asked])])
    except Exception as error:
        raise Problem(502, "No answer came; nothing was kept. Send it again.") from error
    metadata = {"model": model, "sources": [message.id for message in history[-SOURCES:]]}
    return await db.run(keep, key, text, answered, metadata)


def keep(db: Chat, key: str | None, text: str, answered: str, metadata: dict[str, Any]) -> Said:
    """Keep a message and its answer, and what the conversation says of itself: all in one commit.

    Raises:
        Problem: 404, the conversation was deleted meanwhile.
    """
    if key is None:
        conversation = db.conversations.create(title=text.strip()[:TITLE] or "Untitled")
    else:
        conversation = conversation_of(db, key)
    message = db.messages.create(conversation_id=conversation.id, role="user", content=text)
    answer = db.messages.create(conversation_id=conversation.id, role="assistant", content=answered, metadata=metadata)
    conversation = db.conversations.update(conversation.id, message_count=Conversation.message_count + 2)
    return Said(conversation=conversation, message=message, answer=answer)


def delete(db: Chat, key: str) -> None:
    """Delete a conversation; its messages go with it.

    Raises:
        Problem: 404.
    """
    db.conversations.delete(conversation_of(db, key).id)


def undo_deletion(db: Chat, key: str) -> Conversation:
    """Bring a deleted conversation back whole, with every message.

    Raises:
        Problem: 404, there was none; 409, it is there.
    """
    if key in db.conversations:
        raise Problem(409, "This conversation is not deleted.")
    last = next(db.history.commits("conversations", key, limit=1), None)
    if last is None:
        raise Problem(404, "There was no such conversation.")
    db.history.undo(last.sequence)
    return db.conversations[key]


def counts_hold(db: Chat) -> bool:
    """Return whether each conversation has the messages that it counts, and an answer for each: what always holds."""

    def holds(conversation: Conversation) -> bool:
        roles: Sequence[str] = [message.role for message in messages_of(db, conversation.id)]
        return len(roles) == conversation.message_count and [*roles[::2], *roles[1::2]] == sorted(roles, reverse=True)

    return all(map(holds, db.conversations))
