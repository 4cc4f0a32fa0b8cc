"""The stop-gap that everybody begins with: a list, dumped to a file as JSON whenever it changes.

It is written with care, and yet each lane breaks it. No line of it is a straw man: read it, and look for what is wrong.
"""

import json
from pathlib import Path
from typing import Final

FILE: Final = "db_snapshot.json"


class NaiveStore:
    """Messages in a JSON file."""

    def __init__(self, path: Path) -> None:
        """Take the file, which need not be there yet."""
        self.path = path

    def load(self) -> list[dict[str, object]]:
        """Return all messages."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8") as file:
            messages: list[dict[str, object]] = json.load(file)
            return messages

    def save(self, messages: list[dict[str, object]]) -> None:
        """Write all messages."""
        with self.path.open("w", encoding="utf-8") as file:
            json.dump(messages, file, indent=0)

    def add(self, text: str, sender: int = 1) -> None:
        """Add a message."""
        messages = self.load()
        messages.append({"id": len(messages) + 1, "sender": sender, "text": text})
        self.save(messages)


def many(count: int) -> list[dict[str, object]]:
    """Return a number of messages."""
    return [{"id": number, "sender": 1, "text": f"message {number}"} for number in range(1, count + 1)]
