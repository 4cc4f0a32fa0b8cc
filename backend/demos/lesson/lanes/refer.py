"""Who sent 47: a number in a dictionary refers to nothing; a reference does, or is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

from demos.lesson.naive import NaiveStore
from demos.lesson.steps import Lane, Step, snapshot_in
from demos.lesson.tables import Mail, Message, Person
from snaptable import ForeignKeyViolation

PEOPLE, MESSAGES = 7, 100
ASKED = 47
NOBODY = 999


def sender_of(number: int) -> int:
    """Return who sends a message."""
    return number % PEOPLE + 1


def naive(folder: Path) -> Iterator[Step]:
    """Delete who sent message 47, and add a message of a person who isn't there."""
    people = {number: f"Person {number}" for number in range(1, PEOPLE + 1)}
    store = NaiveStore(snapshot_in(folder))
    messages = [
        {"id": number, "sender": sender_of(number), "text": f"message {number}"} for number in range(1, MESSAGES + 1)
    ]
    gone = sender_of(ASKED)
    del people[gone]
    messages.append({"id": MESSAGES + 1, "sender": NOBODY, "text": "from nobody"})
    store.save(messages)
    (folder / "people.json").write_text(json.dumps(people), encoding="utf-8")
    lost = [message for message in store.load() if message["sender"] not in people]
    says = (
        f"Message {ASKED} was sent by {gone}, and there is no {gone}. "
        f"Nothing stopped the deletion, nor the message of {NOBODY}, who never was."
    )
    yield Step(f"{len(lost)} of nobody", says, store.path, held=not lost)


def ours(folder: Path) -> Iterator[Step]:
    """Try the same, and take it back."""
    with Mail(folder, banner=False) as db:
        with db.transaction():
            db.people.insert_many(Person(id=number, name=f"Person {number}") for number in range(1, PEOPLE + 1))
            db.messages.insert_many(
                Message(id=number, sender=sender_of(number), text=f"message {number}")
                for number in range(1, MESSAGES + 1)
            )
        try:
            db.messages.create(sender=NOBODY, text="from nobody")
            refused = False
        except ForeignKeyViolation:
            refused = True
        gone = sender_of(ASKED)
        db.people.delete(gone)
        went = MESSAGES - db.messages.count()
        is_sound = db.check() == []
        yield Step(
            "0 of nobody",
            f"{NOBODY} was refused; {gone} was deleted, and {went} messages went along …",
            snapshot_in(folder),
        )
        db.history.undo(db.history.sequence)
        back = db.messages.count() == MESSAGES and db.messages[ASKED].sender == gone
        says = (
            f"{NOBODY} was refused. {gone} took {went} messages along, in one commit; "
            f"Undo brought all of them back, {ASKED} too."
        )
        held = refused and is_sound and back and db.check() == []
    yield Step("0 of nobody", says, snapshot_in(folder), held=held)


LANE = Lane(
    "refer", "Who sent 47?", "Somebody is deleted, and nobody writes a message. Who sent message 47?", naive, ours
)
