"""Where answers come from: a function of the history that yields them piece by piece, as models do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from demos.chat.tables import Message

Answer = Callable[[Sequence[Message]], AsyncIterator[str]]
"""Gives the answer to the last message of a history; put your model here."""
SECONDS_A_WORD = 0.02
SECONDS = 1.0
"""How long an echo takes at most."""


async def echo(history: Sequence[Message]) -> AsyncIterator[str]:
    """Yield the last message again, a word at a time: it takes its time, as a model does."""
    words = history[-1].content.split(" ")
    yield "You said:"
    for word in words:
        await asyncio.sleep(min(SECONDS_A_WORD, SECONDS / len(words)))
        yield f" {word}"
