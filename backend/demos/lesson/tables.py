"""The same on snaptable: people, and messages that refer to them."""

from typing import Annotated

from snaptable import Database, ForeignKey, Index, Row, Table, numbered


class Person(Row):
    """A person who writes."""

    id: int = numbered()
    name: Annotated[str, Index()]


class Message(Row):
    """What a person wrote."""

    id: int = numbered()
    sender: Annotated[int, ForeignKey(Person, on_delete="cascade")]
    text: str


class Mail(Database):
    """People and their messages."""

    people: Table[Person]
    messages: Table[Message]


def fill(db: Mail, count: int) -> None:
    """Add a first person, who wrote a number of messages."""
    with db.transaction():
        db.people.create(id=1, name="Somebody")
        db.messages.insert_many(
            Message(id=number, sender=1, text=f"message {number}") for number in range(1, count + 1)
        )
