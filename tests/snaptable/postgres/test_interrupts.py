"""Ctrl-C on entering each function of the engine on PostgreSQL: whatever it ended, the next write is one by itself."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.load import Entry, Store

import snaptable.postgres

ENGINE = str(Path(snaptable.postgres.__file__).parent)
UNGUARDED = ("__exit__", "_ended")
"""An interruption there can't be made good: the block's end is not reached, a transaction stays counted as open."""


class Interrupts:
    """Raises KeyboardInterrupt as one function of the engine is entered, counted from 0."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Count a function that is entered, or raise."""
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ENGINE) and code.co_name not in UNGUARDED:
            self.left -= 1
            if self.left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt


def insert(db: Store) -> None:
    """Write a row by itself."""
    db.entries.insert(Entry(id="interrupted"))


def insert_in_block(db: Store) -> None:
    """Write a row in a block."""
    with db.transaction():
        insert(db)


@pytest.mark.parametrize("write", [insert, insert_in_block])
@pytest.mark.parametrize("history", [True, False])
def test_no_transaction_is_left_to_the_next_write(write: Callable[[Store], None], *, history: bool) -> None:
    """Ensure that what is acknowledged behind an interruption can be read by another process."""
    url = stores.new_schema()
    with Store(url, history=history) as db, Store(url) as other:
        number, is_interrupted = 0, True
        while is_interrupted:
            db.entries.where().delete()
            sys.setprofile(Interrupts(number))
            try:
                write(db)
                is_interrupted = False
            except KeyboardInterrupt:
                number += 1
            finally:
                sys.setprofile(None)
            db.entries.insert(Entry(id="next"))
            assert "next" in other.entries, f"interrupted at the function {number}"
        assert number > 40
    stores.drop_schemas([url])
