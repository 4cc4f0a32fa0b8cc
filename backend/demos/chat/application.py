"""The chat over HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from demos.chat import talking
from demos.chat.answers import Answer, echo
from demos.chat.tables import MAX_TEXT, Chat, Conversation, Message
from demos.chat.trials import trial_router
from demos.serving import new_app, page_router
from snaptable import attribution
from snaptable.web import Rules, StrictRoute, crud_router, feed_router, problems


class Sent(BaseModel):
    """A message, to a conversation or to begin one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: str = Field(min_length=1, max_length=MAX_TEXT)
    conversation_id: str | None = None


class Shown(BaseModel):
    """A conversation with its messages."""

    conversation: Conversation
    messages: list[Message]


def create_app(
    directory: Path | str,
    *,
    answer: Answer = echo,
    model: str = "echo",
    stop: Callable[[int], None] | None = None,
    **options: Any,
) -> FastAPI:
    """Return the application over the store of a directory.

    Args:
        directory: the store's.
        answer: gives the answer to a history; put your model here.
        model: its name, kept with each answer.
        stop: stops this process with an exit status, for the tests on the page.
        options: of the database.
    """
    db = Chat(directory, **options)
    everybody = Rules()
    routers = [
        page_router(Path(__file__).parent),
        chat_router(db, answer, model),
        crud_router(db.conversations, prefix="/api/v1/chat/conversations", allow={"list"}, sorts=["updated_at"]),
        feed_router(db, rules={"conversations": everybody, "messages": everybody}, prefix="/api"),
        trial_router(db, stop),
    ]
    app = new_app("Chat", db, routers)
    app.state.db = db
    return app


def chat_router(db: Chat, answer: Answer, model: str) -> APIRouter:
    """Return the routes of the chat."""
    router = APIRouter(
        prefix="/api/v1/chat",
        tags=["chat"],
        route_class=StrictRoute,
        generate_unique_id_function=lambda route: route.name,
    )

    @router.post("/message", status_code=201, responses=problems(404, 422, 502, 503))
    async def send_message(body: Sent) -> talking.Said:
        """Answer a message; it is kept with its answer, or neither is."""
        with attribution(via="message"):
            return await talking.say(db, answer, model, body.conversation_id, body.message)

    @router.get("/conversation/{conversation_id}", responses=problems(404))
    async def show_conversation(conversation_id: str) -> Shown:
        """Return a conversation with its messages."""
        conversation = talking.conversation_of(db, conversation_id)
        return Shown(conversation=conversation, messages=talking.messages_of(db, conversation_id))

    @router.delete("/conversation/{conversation_id}", status_code=204, responses=problems(404, 503))
    async def delete_conversation(conversation_id: str) -> None:
        """Delete a conversation with its messages."""
        with attribution(via="delete"):
            await db.run(talking.delete, conversation_id)

    @router.post("/conversation/{conversation_id}/undo", responses=problems(404, 409, 410, 503))
    async def undo_deletion(conversation_id: str) -> Conversation:
        """Bring a deleted conversation back, with its messages."""
        with attribution(via="undo"):
            return await db.run(talking.undo_deletion, conversation_id)

    return router
