"""Conversations to begin with."""

from demos.chat.tables import Chat
from demos.chat.talking import keep

TALKS = (
    (
        (
            "What is a write-ahead log?",
            "A file that each change is appended to, and synced, before all else is changed.",
        ),
        ("Why append?", "An append leaves alone what is there: a crash can only tear the end, and a torn end shows."),
        ("And the big file?", "It is written anew beside the old one, synced, and renamed into its place."),
    ),
    (
        (
            "Can I edit db_snapshot.json?",
            "While the server is stopped; `snaptable accept` makes a commit of what you did.",
        ),
        ("What if I break it?", "It is refused by name, line and reason, and nothing is overwritten."),
    ),
    (("Hello", "Hello! Everything you write here is in a file that you can read."),),
)


def seed(db: Chat) -> None:
    """Fill an empty chat."""
    for talk in reversed(TALKS):
        with db.transaction(actor="seed"):
            key = None
            for text, answered in talk:
                key = keep(db, key, text, answered, {"model": "seed", "sources": []}).conversation.id
