"""Undo, restore and merge carried out: in one transaction, whole or not at all, with everything that is in the way."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from snaptable.changes.records import Key
from snaptable.contract import Engine
from snaptable.errors import Conflict, ConstraintError, ForeignKeyViolation, UndoConflict, listed
from snaptable.history.records import Change, Revert
from snaptable.history.three_way import ChangedBy, Step, Target, carry_out
from snaptable.schema.tables import TableSchema

Steps = Callable[[], Sequence[Step]]
"""Gives steps, inside the transaction that carries them out."""
Place = tuple[str, Key]
"""A table's name and a row's key."""
MOST_CONFLICTS = 10
"""Conflicts that a message lists."""


@dataclass(frozen=True)
class Manner:
    """How steps are carried out.

    Attributes:
        note: why, kept with the commit.
        undoes: the commits that are taken back.
        dry_run: change nothing.
        force: override later changes; never a constraint, nor that a row was purged.
        cascade: delete rows that refer to those that go, too.
    """

    note: str | None
    undoes: tuple[int, ...]
    dry_run: bool
    force: bool
    cascade: bool = False


class Reverter:
    """What carries steps out on an engine."""

    def __init__(self, engine: Engine, schemas: Mapping[str, TableSchema], changed_by: ChangedBy) -> None:
        self._engine, self._schemas, self._changed_by = engine, schemas, changed_by
        self._changes: dict[Place, Change] = {}

    def carry_out(self, steps: Steps, how: Manner) -> Revert:
        """Carry steps out, or find everything that is in the way.

        Raises:
            UndoConflict: something is; nothing was written.
        """
        conflicts: tuple[Conflict, ...] = ()
        try:
            with self._engine.writing(how.note, how.undoes) as number:
                # 1. Where the steps lead, beside what changed since.
                target = carry_out(steps(), self._engine.row_json, self._changed_by, self._schemas, force=how.force)
                # 2. The constraints, all of them; with `cascade`, rows that refer to those that go, go too.
                violations = self._put(target)
                while how.cascade and (referring := self._referring(violations)):
                    target.rows.update(referring)
                    violations = self._put(target)
                conflicts = (*target.conflicts, *map(self._conflict_of, violations))
                # 3. All of it, or nothing.
                if how.dry_run:
                    raise _DryRun
                if violations or any(not how.force or each.kind == "purged" for each in target.conflicts):
                    raise UndoConflict(_described(conflicts), conflicts=conflicts)
        except _DryRun:
            return Revert(tuple(self._changes.values()), conflicts, None)
        return Revert(tuple(self._changes.values()), conflicts, number.sequence)

    def _put(self, target: Target) -> Sequence[ConstraintError]:
        """Put rows into their new states, and take note of what that changes."""
        states = [state for state in target.states() if (state.table, state.key) not in self._changes]
        for state in states:
            schema, present = self._schemas[state.table], self._engine.row_json(state.table, state.key)
            change = Change.between(schema, state.key, present, state.row)
            if change is not None and not schema.transient:
                self._changes[state.table, state.key] = change
        return self._engine.put(states)

    def _referring(self, violations: Iterable[ConstraintError]) -> dict[Place, None]:
        """Return the rows that refer to rows that go."""
        places = (self._place_of_other(error) for error in violations if _is_reference_left(error))
        return dict.fromkeys(place for place in places if place is not None)

    def _place_of_other(self, error: ConstraintError) -> Place | None:
        """Return the table and the key of the row in the way."""
        if error.other is None or error.other_table is None:
            return None
        return error.other_table, getattr(error.other, self._schemas[error.other_table].key)

    def _conflict_of(self, error: ConstraintError) -> Conflict:
        kind = "unique"
        if isinstance(error, ForeignKeyViolation):
            kind = "still referenced" if _is_reference_left(error) else "refers to missing"
        field = None if kind == "still referenced" else ",".join(error.fields)
        other = self._place_of_other(error)
        return Conflict(str(error.table), error.key, field, kind, None, error.value, None, other)


class _DryRun(Exception):
    """Rolls a dry run back."""


def _described(conflicts: Sequence[Conflict]) -> str:
    lines = listed([str(each) for each in conflicts], MOST_CONFLICTS)
    return "\n  ".join([f"{len(conflicts)} conflict{'s' * (len(conflicts) != 1)}; nothing was written:", *lines])


def _is_reference_left(error: ConstraintError) -> bool:
    """Return whether a violation is of a row that goes while others refer to it, not of one that refers to nothing."""
    return isinstance(error, ForeignKeyViolation) and error.other is not None
