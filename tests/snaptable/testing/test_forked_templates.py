"""The fixture `snaptable_fork`: each test has the whole store that was filled once, and writes to it alone."""

from typing import Annotated

import pytest

from snaptable import Database, ForeignKey, ForeignKeyViolation, Row, Table, numbered
from snaptable.testing import ForkFixture, StoreFixture, StoreTemplate, TemplateFixture

ROWS = 500


class Note(Row):
    """A note, and the one that it answers."""

    id: int = numbered()
    text: str
    answers: Annotated[int | None, ForeignKey("notes", on_delete="set null")] = None


class Notes(Database):
    """Notes."""

    notes: Table[Note]


@pytest.fixture(scope="session")
def many_notes(snaptable_template: TemplateFixture) -> StoreTemplate[Notes]:
    """Fill a store once."""
    return snaptable_template(Notes, lambda db: db.notes.insert_many(Note(text=str(n)) for n in range(ROWS)))


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_all_of_it(snaptable_fork: ForkFixture, many_notes: StoreTemplate[Notes], turn: int) -> None:
    """Ensure that what the other turn deleted is there, that constraints hold, and that two forks are apart."""
    db, other = snaptable_fork(many_notes), snaptable_fork(many_notes)
    assert (db.notes.count(), other.notes.count()) == (ROWS, ROWS)
    with pytest.raises(ForeignKeyViolation):
        db.notes.create(text="to nothing", answers=9_999)
    db.notes.where().delete()
    assert db.notes.create(text=f"turn {turn}").id > ROWS
    assert (db.notes.count(), other.notes.count()) == (1, ROWS)
    assert db.check() == []
    assert db.directory is None


def test_a_template_is_still_good_for_copies(
    snaptable_fork: ForkFixture, snaptable_store: StoreFixture, many_notes: StoreTemplate[Notes]
) -> None:
    """Ensure that files can be had of a template that forks were made of."""
    assert snaptable_fork(many_notes).notes.count() == ROWS
    store = snaptable_store(many_notes)
    assert store.restart().notes.count() == ROWS


def test_a_fork_ends_with_its_test(many_notes: StoreTemplate[Notes], request: pytest.FixtureRequest) -> None:
    """Ensure that forks are closed, and the store behind them is not."""
    bases = request.getfixturevalue("snaptable_fork_bases")
    fixture = ForkFixture(bases)
    fork = fixture(many_notes)
    fixture.close()
    assert not fork.is_open
    assert bases.of(many_notes).is_open
