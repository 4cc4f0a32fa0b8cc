"""What can be asked for: a closed list, each with its members and their types. Nothing here runs code of who asks.

The command carries the same operations out itself where it can open the store, and prints the same answer.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from snaptable.changes.attribution import attribution
from snaptable.control.protocol import InvalidRequest
from snaptable.control.shapes import change_shape, revert_shape
from snaptable.database.database import Database
from snaptable.history import Moment, Purged
from snaptable.history.shapes import Shape
from snaptable.interchange import ImportPlan, Record, plan_import
from snaptable.query.query import Query

Given = Mapping[str, Any]


def perform(db: Database, operation: str, given: Given, *, actor: str | None) -> Shape:
    """Carry an operation out, and return what it did as a JSON object.

    Args:
        db: the database, open to be written.
        operation: its name.
        given: its members.
        actor: who asked, kept with the commit.

    Raises:
        InvalidRequest: no such operation exists, or it has no such member.
        ValueError, SnaptableError: as the library's own method.
    """
    if operation not in _OPERATIONS:
        raise InvalidRequest(f"there is no operation {operation[:40]!r}")
    carry_out, members = _OPERATIONS[operation]
    for name, value in given.items():
        if name not in members or not _is(value, members[name]):
            raise InvalidRequest(f"{operation}: {name[:40]!r} is no member of it, or of another type")
    with attribution(actor=actor, via=f"snaptable {operation}"):
        return carry_out(db, given)


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    return any(type(value) is kind for kind in kinds)


# ── each operation ──────────────────────────────────────────────────────────────────────────────────────────────────


def _status(db: Database, _: Given) -> Shape:
    status = db.status()
    return {"sequence": status.sequence, "writable": status.writable, "rows": status.rows}


def _undo(db: Database, given: Given) -> Shape:
    sequences = given.get("sequences", [])
    if not all(_is(each, (int,)) for each in sequences):
        raise InvalidRequest("undo: sequences are numbers")
    return revert_shape(
        db.history.undo(
            *sequences,
            note=given.get("note"),
            dry_run=given.get("dry_run", False),
            force=given.get("force", False),
            cascade=given.get("cascade", False),
        )
    )


def _rewind(db: Database, given: Given) -> Shape:
    table, text = given.get("table"), given.get("key")
    if table is None and text is not None:
        raise InvalidRequest("rewind: name the table of the key")  # without it, all tables would go back
    key = None if text is None or table is None else _key(db, table, text)
    return revert_shape(
        db.history.restore(
            _moment(given.get("at")),
            table,
            key,
            note=given.get("note"),
            dry_run=given.get("dry_run", False),
            force=given.get("force", False),
        )
    )


def _purge(db: Database, given: Given) -> Shape:
    table, text = given.get("table"), given.get("key")
    if table is None or text is None:
        raise InvalidRequest("purge: name a table and a key")
    key = _key(db, table, text)
    purged = db.history.purge(table, key, cascade=given.get("cascade", True), keys=given.get("keys", False))
    return purge_shape(purged)


def purge_shape(purged: Purged) -> Shape:
    """Return the receipt of a purge."""
    left = [{"file": each.file, "line": each.line, "what": each.what} for each in purged.left]
    return {"rows": dict(purged.rows), "frames": purged.frames, "left": left, "commit": purged.commit}


def _import(db: Database, given: Given) -> Shape:
    """Plan an import of records, each as [line, kind of its values, its key or None, values], and carry it out."""
    table = given.get("table")
    if table is None or table not in db.tables:
        raise InvalidRequest(f"there is no table {table!r}; there are {', '.join(db.tables)}")
    records = [_record(each) for each in given.get("records", [])]
    mapping = given.get("mapping", {})
    if not all(isinstance(name, str) for name in mapping.values()):
        raise InvalidRequest("import: mapping leads from names to fields")
    plan = plan_import(db.tables[table], records, mapping=mapping, update=given.get("update", False))
    commit = None
    if plan.is_sound and not given.get("dry_run", False) and plan.inserts + plan.updates:
        commit = plan.apply(note=given.get("note")).commit
    return _plan_shape(plan) | {"commit": commit}


def _record(given: object) -> Record:
    match given:
        case [int(line), "json" | "text" | "sql" as kind, str() | None as key, dict(values)]:
            return Record(values, line, kind, key)
        case [int(line), str(fault)]:
            return Record({}, line, fault=fault)
    raise InvalidRequest("import: a record is [line, kind, key, values]")


def _plan_shape(plan: ImportPlan) -> Shape:
    faults = [{"line": each.line, "field": each.field, "reason": each.reason} for each in plan.faults]
    return {
        "table": plan.table,
        "inserts": plan.inserts,
        "updates": plan.updates,
        "unchanged": plan.unchanged,
        "wrong": plan.wrong,
        "faults": faults,
        "unknown": dict(plan.unknown),
        "suggestions": dict(plan.suggestions),
        "examples": [change_shape(each) for each in plan.examples],
        "rejected": [{"line": record.line, "faults": told} for record, told in plan.rejected()],
    }


def _advise(db: Database, _: Given) -> Shape:
    """Tell which queries took long, if something takes note of them: `monitoring_router` does."""
    worst = getattr(db._query_observer, "worst", None)
    if worst is None:
        return {"measured": False, "queries": []}
    queries = []
    for slow in worst():
        text = repr(Query(db.tables[slow.table]._source, slow.shape)).removeprefix("<Query ").removesuffix(">")
        ms = round(1000 * slow.seconds / slow.count, 3)
        shape = {"query": text, "plan": slow.plan, "ms": ms, "count": slow.count, "suggestion": slow.suggestion}
        queries.append({"table": slow.table, **shape})
    return {"measured": True, "queries": queries}


def _key(db: Database, table: str, text: str) -> object:
    if table not in db.tables:
        raise InvalidRequest(f"there is no table {table!r}; there are {', '.join(db.tables)}")
    try:
        return db.tables[table].schema.parse_key(text)
    except ValueError:
        raise InvalidRequest(f"{text!r} is no key of {table}") from None


def _moment(value: object) -> Moment:
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidRequest("a moment is a commit's number, or a time with its zone")


_TEXT = (str, type(None))
_REVERT = {"note": _TEXT, "dry_run": (bool,), "force": (bool,)}
_OPERATIONS: dict[str, tuple[Callable[[Database, Given], Shape], dict[str, tuple[type, ...]]]] = {
    "status": (_status, {}),
    "undo": (_undo, {"sequences": (list,), "cascade": (bool,), **_REVERT}),
    "rewind": (_rewind, {"at": (int, str), "table": _TEXT, "key": _TEXT, **_REVERT}),
    "purge": (_purge, {"table": (str,), "key": (str,), "cascade": (bool,), "keys": (bool,)}),
    "import": (
        _import,
        {"table": (str,), "records": (list,), "mapping": (dict,), "update": (bool,), "dry_run": (bool,), "note": _TEXT},
    ),
    "advise": (_advise, {}),
}
