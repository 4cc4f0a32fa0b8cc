"""What changes remember: going back from the present by the journal alone gives every earlier state."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from snaptable import Database, ForeignKey, Row, Table, attribution
from snaptable.changes.records import CommitRecord, Delete, Insert, Replace
from snaptable.storage.disk.files import Files
from snaptable.storage.journal.reader import JournalReader


class Owner(Row):
    id: int
    name: str = ""


class Thing(Row):
    id: int
    owner_id: Annotated[int | None, ForeignKey(Owner, on_delete="cascade")] = None
    at: datetime | None = None
    amount: Decimal | None = None
    number: int | float | bool | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    token: UUID | None = None


class Store(Database):
    owners: Table[Owner]
    things: Table[Thing]


State = dict[str, dict[str, Any]]

EAST = timezone(timedelta(hours=2))
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
VALUES: dict[str, list[object]] = {
    "owner_id": [None, 1, 2],
    "at": [None, NOON, NOON.astimezone(EAST), NOON + timedelta(microseconds=1)],
    "amount": [None, Decimal("1.0"), Decimal("1.00"), Decimal(2)],
    "number": [None, 1, 1.0, True, 0.0, -0.0],
    "extra": [{}, {"a": 1, "b": [1]}, {"b": [1], "a": 1}, {"a": 1.0, "b": [1]}],
    "token": [None, UUID(int=1), UUID(int=2)],
}
fields = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})
steps = st.lists(
    st.tuples(st.sampled_from(["put", "change", "delete", "owner"]), st.integers(1, 3), fields), max_size=6
)


def _state(db: Store) -> State:
    return {
        name: {str(row.id): row.model_dump_json() for row in table.all()} for name, table in db.tables.items()
    }  # fmt: skip


def _apply(db: Store, kind: str, key: int, values: dict[str, Any]) -> None:
    if kind == "put":
        db.things.upsert(Thing(id=key, **values))
    elif kind == "change" and key in db.things:
        db.things.update(key, **values)
    elif kind == "delete" and key in db.things:
        db.things.delete(key)
    elif kind == "owner" and key in db.owners:
        db.owners.delete(key)


def _take_back(state: State, commit: CommitRecord) -> None:
    for change in reversed(commit.changes):
        rows = state[change.table]
        if isinstance(change, Insert):
            assert rows.pop(change.key) == change.row.decode()
        elif isinstance(change, Delete):
            assert change.before is not None
            rows[change.key] = change.before.decode()
        else:
            assert rows[change.key] == change.row.decode()
            rows[change.key] = _former(change)


def _former(change: Replace) -> str:
    assert change.before is not None
    now, before = json.loads(change.row), json.loads(change.before)
    assert all(json.dumps(now.get(name)) != json.dumps(value) for name, value in before.items()), "only what differs"
    former = {name: before.get(name, value) for name, value in now.items() if name not in change.added}
    return json.dumps(former, ensure_ascii=False, separators=(",", ":"))


@given(st.lists(steps, max_size=6))
def test_the_journal_leads_back_to_every_state(tmp_path_factory: pytest.TempPathFactory, plan: list[Any]) -> None:
    """Ensure each commit, taken back, gives the very bytes that each row had before, cascades and odd values too."""
    where = tmp_path_factory.mktemp("store")
    with Store(where, fsync=False, banner=False) as db:
        states = [_state(db)]
        db.owners.insert_many([Owner(id=1), Owner(id=2)])
        states.append(_state(db))
        for transaction in plan:
            with db.transaction():
                for kind, key, values in transaction:
                    if values.get("owner_id") is None or values["owner_id"] in db.owners:
                        _apply(db, kind, key, values)
            if _state(db) != states[-1]:
                states.append(_state(db))
    commits = list(JournalReader(Files(where)).commits())
    assert len(commits) == len(states) - 1
    state = states.pop()
    for commit in reversed(commits):
        _take_back(state, commit)
        assert state == states.pop()


def test_who_made_a_commit_is_kept(tmp_path: Path) -> None:
    """Ensure actor, note and way of the innermost block are in the journal, and nothing outside of any."""
    with Store(tmp_path / "data", banner=False) as db:
        with attribution(actor="ann", via="cli"):
            db.owners.insert(Owner(id=1))
            with attribution(note="why", actor="ben"):
                db.owners.update(1, name="x")
        db.owners.delete(1)
    first, second, third = (each.attribution for each in JournalReader(Files(tmp_path / "data")).commits())
    assert first is not None
    assert (first.actor, first.note, first.via) == ("ann", None, "cli")
    assert second is not None
    assert (second.actor, second.note, second.via) == ("ben", "why", "cli")
    assert third is None


def test_what_the_journal_cannot_hold_is_refused_before_anything_is_written() -> None:
    """Ensure a lone surrogate, or what is no text, is refused where it is said."""
    with pytest.raises(ValueError, match="actor holds a lone surrogate"), attribution(actor="\ud800"):
        pass
    with pytest.raises(TypeError, match="note is a str or None; not of int"), attribution(note=5):  # type: ignore[arg-type]
        pass


def test_times_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a clock that is set back, while open or between two starts, gives no frame an earlier time."""
    clock = [2_000_000_000_000_000_000]
    monkeypatch.setattr("time.time_ns", lambda: clock[0])
    where = tmp_path / "data"
    for step in range(3):
        with Store(where, banner=False) as db:
            db.owners.insert(Owner(id=2 * step))
            clock[0] -= 10**15
            db.owners.insert(Owner(id=2 * step + 1))
            clock[0] -= 10**15
    times = [frame.at for frame in JournalReader(Files(where)).frames()]
    assert times == sorted(times)
    assert len(times) == 6
