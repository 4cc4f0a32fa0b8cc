"""Loading that takes long says how far it is; loading that doesn't is silent."""

import logging
import sys
from pathlib import Path

import pytest

from snaptable import Database, Row, Table, new_id
from snaptable.runtime import progress


class Item(Row):
    id: str
    text: str


class Items(Database):
    items: Table[Item]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return a directory with a store of 500 rows."""
    with Items(tmp_path) as db:
        db.items.insert_many(Item(id=new_id(), text="x" * 100) for _ in range(500))
    return tmp_path


def test_a_quick_start_says_nothing_of_its_progress(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Within two seconds there is no word of it."""
    caplog.set_level(logging.INFO, "snaptable")
    with Items(filled):
        assert not [text for text in caplog.messages if text.startswith("Loading")]


def test_a_long_start_logs_how_far_it_is(
    filled: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the time of patience the log names the file and the share that is loaded, ever growing."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    caplog.set_level(logging.INFO, "snaptable")
    with Items(filled):
        told = [text for text in caplog.messages if text.startswith("Loading")]
    shares = [int(text.rpartition(" ")[2].rstrip("%")) for text in told]
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert 90 <= shares[-1] <= 100
    assert "db_snapshot.json" in told[0]


def test_on_a_terminal_a_bar_is_drawn_instead(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets one line that is drawn anew, and is left at its end."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Items(filled):
        pass
    drawn = capsys.readouterr().err
    assert "\rLoading" in drawn
    assert "█" in drawn
    assert drawn.endswith("\n")


@pytest.mark.parametrize("known", [True, False])
def test_a_long_insertion_logs_how_far_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Past the time of patience the log names the table and the share, or the rows where nobody knows how many come."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    caplog.set_level(logging.INFO, "snaptable")
    rows = [Item(id=new_id(), text="x") for _ in range(1000)]
    with Items("memory:") as db:
        assert len(db.items.insert_many(rows if known else (row for row in rows), progress=True)) == 1000
    told = [text for text in caplog.messages if text.startswith("Inserting into items: ")]
    assert told[:2] == (
        ["Inserting into items: 26%", "Inserting into items: 51%"]
        if known
        else ["Inserting into items: 256 rows", "Inserting into items: 512 rows"]
    )


def test_a_quick_insertion_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Within two seconds there is no word of it."""
    caplog.set_level(logging.INFO, "snaptable")
    with Items("memory:") as db:
        db.items.insert_many([], progress=True)
        db.items.insert_many([Item(id=new_id(), text="x")], progress=True)
    assert not [text for text in caplog.messages if text.startswith("Inserting")]


def test_an_insertion_that_was_not_asked_for_its_progress_says_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library call draws and logs nothing by itself, however long it takes."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    caplog.set_level(logging.INFO, "snaptable")
    with Items("memory:") as db:
        db.items.insert_many(Item(id=new_id(), text="x") for _ in range(1000))
    assert caplog.messages == []
