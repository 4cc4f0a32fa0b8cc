"""A change carried out beside later ones: by row and field, as in the three-way merge of version control.

A step leads a row from one state to another: an undo from what a commit left to what there was before it, a restore
from the present to a moment, a merge from the beginning of a fork to its end. The present row may have moved on. A
field that the step changes and that is still as the step expects takes the step's value; one that has it already stays;
any other is a conflict. Fields that the step does not change are left as they are, whoever changed them, and so are
fields that move with every change of their row (`OnUpdate`), once they have moved on.

Source: the merge of diff3 (Khanna, Kunal, Pierce: A Formal Investigation of Diff3, 2007), over fields, not lines.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from snaptable.changes.records import Key
from snaptable.contract import RowState
from snaptable.errors import Conflict
from snaptable.history.fields import Fields, same_json
from snaptable.schema.tables import TableSchema
from snaptable.secrets import masked
from snaptable.values.row_lines import row_json

MISSING = object()
"""Stands for the value of a field that a row doesn't have."""


@dataclass(frozen=True)
class Step:
    """A row's way from one state to another, as JSON; None for no row.

    Attributes:
        purged: whether the states are not known any more, so that they can't be restored.
    """

    table: str
    key: Key
    old: bytes | None
    new: bytes | None
    purged: bool = False


@dataclass
class Target:
    """The rows that steps lead to, and what is in the way.

    Attributes:
        rows: the new state of each row that changes, by table and key; None for no row.
        conflicts: what is in the way.
    """

    rows: dict[tuple[str, Key], Fields | None] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)

    def states(self) -> list[RowState]:
        """Return the rows as an engine takes them."""
        return [RowState(table, key, None if row is None else row_json(row)) for (table, key), row in self.rows.items()]


Present = Callable[[str, Key], bytes | None]
"""Returns the present JSON of a row, None if there is none."""
ChangedBy = Callable[[str, Key], int | None]
"""Returns the last commit that changed a row, None if it isn't known."""


def carry_out(
    steps: Iterable[Step],
    present: Present,
    changed_by: ChangedBy,
    schemas: Mapping[str, TableSchema],
    *,
    force: bool,
) -> Target:
    """Return where steps lead from the present rows, one after the other; O(steps).

    Args:
        steps: in the order in which they are carried out.
        present: the rows that there are.
        changed_by: who changed them, for conflicts.
        schemas: of the tables.
        force: override later changes; they are listed as conflicts all the same.
    """
    target = Target()
    for step in steps:
        place = (step.table, step.key)
        if step.purged:
            target.conflicts.append(Conflict(*place, None, "purged"))
            continue
        now = target.rows[place] if place in target.rows else _parsed(present(*place))
        old, new = _parsed(step.old), _parsed(step.new)
        schema = schemas[step.table]
        conflicts = [_shown(each, schema) for each in _conflicts(step, old, new, now, changed_by, schema.on_update)]
        target.conflicts += conflicts
        if conflicts and not force:
            continue
        result = _merged(old, new, now, schema.on_update)
        if not _is_same_row(result, now) or place in target.rows:
            target.rows[place] = result
    return target


def _parsed(row: bytes | None) -> Fields | None:
    return None if row is None else json.loads(row)


def _is_same_row(first: Fields | None, second: Fields | None) -> bool:
    return first is second or (first is not None and second is not None and same_json(first, second))


def _shown(conflict: Conflict, schema: TableSchema) -> Conflict:
    """Return a conflict without what is secret."""
    if conflict.field is not None and conflict.field not in schema.secrets:
        return conflict
    then, now = (_masked(value, conflict.field, schema) for value in (conflict.then, conflict.now))
    return replace(conflict, then=then, now=now)


def _masked(value: object, name: str | None, schema: TableSchema) -> object:
    if name is not None:
        return masked({name: value}, schema.secrets)[name]
    return masked(value, schema.secrets) if isinstance(value, dict) else value


def _merged(old: Fields | None, new: Fields | None, now: Fields | None, moving: Collection[str]) -> Fields | None:
    """Return the present row with what a step changes; where that is a whole row, that row."""
    if new is None or old is None or now is None:
        return new
    stay = {name for name in moving if name in now and _differs(old, now, name)}
    return now | {name: value for name, value in new.items() if name not in stay and _differs(old, new, name)}


def _differs(old: Fields, new: Fields, name: str) -> bool:
    first, second = old.get(name, MISSING), new.get(name, MISSING)
    return (first is MISSING) != (second is MISSING) or not same_json(first, second)


def _conflicts(
    step: Step,
    old: Fields | None,
    new: Fields | None,
    now: Fields | None,
    changed_by: ChangedBy,
    moving: Collection[str],
) -> Iterator[Conflict]:
    """Yield where the present row is neither as a step expects it nor as it leaves it."""
    if _is_same_row(now, old) or _is_same_row(now, new):
        return
    by = changed_by(step.table, step.key)
    if old is None:
        yield Conflict(step.table, step.key, None, "key taken", None, now, by)
    elif now is None:
        yield Conflict(step.table, step.key, None, "changed since", old, None, by)
    else:
        expected = old if new is None else new
        for name in (name for name in old if name not in moving):
            is_changed = new is None or _differs(old, expected, name)
            accepted = [old[name], *([] if new is None else [new.get(name)])]
            if is_changed and not any(same_json(now.get(name), value) for value in accepted):
                yield Conflict(step.table, step.key, name, "changed since", old[name], now.get(name), by)
