"""Which tables a feed has, and where the place of a list stands in it."""

from typing import Annotated

import pytest

from snaptable import Database, HistoryGone, Row, Secret, Table, table
from snaptable.history.places import Place
from snaptable.web import Rules, View, current_place, feed_router, rule_book
from snaptable.web.feed.open_streams import OpenStreams
from snaptable.web.feed.visible import FeedTables, VisibleCommits
from snaptable.web.problems import Problem


class Note(Row):
    """A note."""

    id: str
    owner: str = "ann"
    draft: str = ""
    pin: Annotated[str | None, Secret()] = None


class Session(Row):
    """What has no past."""

    id: str


class Notes(Database):
    """The database."""

    notes: Table[Note]
    others: Table[Note]
    sessions: Table[Session] = table(transient=True)


def get_caller() -> str:
    """Return the caller."""
    return "ann"


def test_a_feed_has_the_tables_that_routers_of_its_caller_have_rules_for() -> None:
    """Ensure that a table is closed by default, hidden fields stay hidden, and transient tables are in no feed."""
    with Notes("memory:") as db:
        assert FeedTables(db, {}, get_caller).views() == {}
        rule_book(db).add(View(db.notes, [lambda me: Note.owner == me], hidden=["draft"]), get_caller)
        rule_book(db).add(View(db.sessions), get_caller)
        assert list(FeedTables(db, {}, get_caller).views()) == ["notes"]
        assert FeedTables(db, {}, lambda: "eve").views() == {}
        tables = FeedTables(db, {"others": Rules()}, get_caller)
        visible = VisibleCommits(tables.views(), "ann", ["notes", "others"])
        with db.transaction():
            db.notes.insert(Note(id="a", draft="d1", pin="1234"))
            db.notes.insert(Note(id="b", owner="eve"))
            db.others.insert(Note(id="c", owner="eve"))
        db.notes.update("a", draft="d2")
        first, second = db.history.commits(oldest_first=True)
        shape = visible.shape(first)
        assert shape is not None
        assert shape["changes"] == [
            {"table": "notes", "key": "a", "kind": "insert", "before": None,
             "after": {"id": "a", "owner": "ann", "pin": "••••"}},
            {"table": "others", "key": "c", "kind": "insert", "before": None,
             "after": {"id": "c", "owner": "eve", "draft": "", "pin": None}},
        ]  # fmt: skip
        assert visible.shape(second) is None


def test_rules_for_no_table_are_refused() -> None:
    """Ensure that a wrong name is told when the router is made."""
    for name in ("nope", "sessions"):
        with pytest.raises(ValueError, match=name):
            feed_router(Notes("memory:"), rules={name: Rules()})
    with pytest.raises(ValueError, match="above zero"):
        feed_router(Notes("memory:"), max_streams=0)


def test_one_stranger_does_not_take_every_stream() -> None:
    """Ensure that a network has a share of what is open to all, a /64 as a whole, and that places come back."""
    for stranger, others in (
        ("192.0.2.1", ["192.0.2.2", "198.51.100.1"]),
        ("::ffff:192.0.2.1", ["192.0.2.2"]),
        ("2001:db8::1", ["2001:db8:0:1::1", "2001:db8:1::1"]),
    ):
        streams = OpenStreams(100, 20)
        many = [f"2001:db8::{number:x}" if stranger == "2001:db8::1" else stranger for number in range(26)]
        opened = [streams.take(None, each) for each in many[:25]]
        with pytest.raises(Problem) as refused:
            streams.take(None, many[25])
        assert refused.value.status_code == 503
        for other in others:
            streams.take(None, other)
        streams.take("192.0.2.1", stranger)  # a caller who is known is not counted by where they are
        opened.pop()()
        streams.take(None, stranger)
    streams = OpenStreams(4, 1)
    streams.take(None, "testclient")  # what is no address stands for itself
    with pytest.raises(Problem):
        streams.take(None, "testclient")
    streams.take(None, "192.0.2.1")


def test_a_place_is_the_same_after_a_restart_and_none_of_another_store(tmp_path: object) -> None:
    """Ensure that the mark is of the commit, and that a history which took another way is noticed."""
    places = []
    for folder in ("one", "one", "other"):
        with Notes(f"{tmp_path}/{folder}", banner=False, fsync=False) as db:
            if not db.history.sequence:
                db.notes.insert(Note(id="a"))
            places.append(Place.parse(current_place(db)))
            source = db._opened().commits
            for place in places[:2]:
                if folder == "one":
                    place.check(source)
                else:
                    with pytest.raises(HistoryGone, match="another history"):
                        place.check(source)
    assert places[0] == places[1] != places[2]
