"""Open a store in every state that a crash may have left, and verify it; `crash_everywhere` does it all at once."""

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Generic

from snaptable.database.database import Database
from snaptable.errors import ConstraintError
from snaptable.runtime.silenced_log import silenced_log
from snaptable.testing.crash import MODELS, Model, states_after
from snaptable.testing.disk import EMPTY, Contents, SimulatedDisk
from snaptable.testing.recording import D, Recording, Rows, record, rows_of


@dataclass
class CrashReport:
    """The number of states that were opened, by model, and what was wrong in them."""

    states: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {model}" for model, count in self.states.items())
        return f"{self.states.total():,} crash states ({counts}), {len(self.failures)} wrong"


def delete_a_row(db: Database) -> None:
    """Make a commit that any schema allows: delete the last row that no constraint protects, if there is one."""
    for table in reversed(list(db.tables.values())):
        rows = table.where().all()
        if rows:
            with suppress(ConstraintError):
                table.delete(getattr(rows[-1], table.schema.key))
                return


@dataclass(frozen=True)
class Observation:
    """What one state shows: a sequence, its rows, and a problem that no recording could excuse."""

    sequence: int
    rows: Rows
    problem: str | None = None


def verify(
    recording: Recording[D], follow_up: Callable[[D], object], check: Callable[[D], object] | None = None
) -> Observation:
    """Open a store on a disk as a crash left it, use it, and return what was observed."""
    try:
        # 1. It opens, and is sound.
        with closing(recording.open_database()) as db:
            first = Observation(db.status().sequence, rows_of(db), "; ".join(db.check()) or None)
        if first.problem is not None:
            return first
        # 2. Opening again changes nothing.
        with closing(recording.open_database()) as db:
            if rows_of(db) != first.rows:
                return replace(first, problem="holds something else when opened again")
            # 3. The caller's own invariants hold.
            if check is not None and (problem := failed_check(check, db)):
                return replace(first, problem=f"after commit {first.sequence}, {problem}")
            # 4. A further commit works,
            follow_up(db)
            after = rows_of(db)
        # 5. and is there, whole, the next time.
        with closing(recording.open_database()) as db:
            if rows_of(db) != after:
                return replace(first, problem="lost what was written after the recovery")
    except Exception as error:  # noqa: BLE001 - any exception is what is wrong with this state
        return Observation(-1, {}, f"{type(error).__name__}: {error}")
    return first


def failed_check(check: Callable[[D], object], db: D) -> str | None:
    """Return how a check of the caller's fails, with its name and line; None if it passes."""
    name = getattr(check, "__name__", repr(check))
    try:
        if check(db) is False:
            return f"{name} returned False"
    except _failures() as error:
        inside = traceback.extract_tb(error.__traceback__)[1:]
        place = f" ({Path(inside[0].filename).name}:{inside[0].lineno})" if inside else ""
        return f"{name}{place}: {type(error).__name__}: {error}"
    return None


def _failures() -> tuple[type[BaseException], ...]:
    """Return the exceptions by which a check fails: `pytest.fail` raises one that is not an Exception."""
    pytest = sys.modules.get("pytest")
    return (Exception,) if pytest is None else (Exception, pytest.fail.Exception)


@dataclass
class CrashSearch(Generic[D]):
    """A search of crash states.

    Attributes:
        report: what was observed so far.
        seed: chooses the samples.
        max_states: the most states that are opened after one operation.
        nested: how many of them are crashed again, at each operation of their recovery and of a commit after it.
        follow_up: makes a commit in a store that was recovered.
        check: fails by raising, or by returning False, if an invariant of the caller's does not hold.
        max_failures: the failures after which the search stops.
    """

    report: CrashReport = field(default_factory=CrashReport)
    seed: int = 0
    max_states: int = 25
    nested: int = 0
    follow_up: Callable[[D], object] = delete_a_row
    check: Callable[[D], object] | None = None
    max_failures: int = 10
    _observations: dict[int, Observation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a check that would never run.

        Raises:
            TypeError: the check is a coroutine function.
        """
        if iscoroutinefunction(self.check):
            raise TypeError(
                f"check={self.check.__name__} is a coroutine function; a check is a plain function of the db"
            )

    def run(
        self, recording: Recording[D], model: Model, *, every: int = 1, first: Model | None = None, path: str = ""
    ) -> None:
        """Open the store in every state after every operation of a recording, or after one of `every` operations.

        Args:
            recording: what was done to the disk.
            model: the kind of crash.
            every: the distance between the operations that are followed by a crash.
            first: the kind of the crash that the recording began with, if it began with one.
            path: that crash, for messages.
        """
        kind = model if first is None else f"{first}, nested"
        for point in range(recording.first_operation, recording.operation_count + 1, every):
            states = states_after(recording.disk, point, model, self.seed, self.max_states)
            for number, contents in enumerate(states):
                if len(self.report.failures) >= self.max_failures:
                    return
                self.report.states[kind] += 1
                after = f"after operation {point} ({_operation_before(recording, point)})"
                place = f"{path}{model}, {after}, state {number}, seed {self.seed}"
                if first is None and number < self.nested:
                    self._crash_again(recording, contents, point, model, place)
                else:
                    self._accept(recording, point, self._observe(recording, contents), place)

    def _accept(self, recording: Recording[D], point: int, observation: Observation, place: str) -> bool:
        """Return whether an observation is one that the recording allows; report it otherwise."""
        problem = observation.problem or recording.violation(point, observation.sequence, observation.rows)
        if problem is not None:
            self.report.failures.append(f"{place}: {problem}")
        return problem is None

    def _observe(self, recording: Recording[D], contents: Contents) -> Observation:
        # The same files are left after many operations: what is allowed differs then, what is observed does not.
        signature = hash(contents.signature())
        if signature not in self._observations:
            crashed = Recording(recording.make, SimulatedDisk(contents))
            self._observations[signature] = verify(crashed, self.follow_up, self.check)
        return self._observations[signature]

    def _crash_again(self, recording: Recording[D], contents: Contents, point: int, model: Model, place: str) -> None:
        # After a kill the system runs on, and what was written and never synced may still be lost.
        disk = recording.disk.after_kill(point) if model == "kill" else SimulatedDisk(contents)
        recovery = Recording(recording.make, disk, first_operation=len(disk.operations))
        observation = verify(recovery, self.follow_up, self.check)
        if not self._accept(recording, point, observation, place):
            return
        is_kill = model == "kill"
        recovery.base_sequence = recording.allowed_sequences(point)[0] if is_kill else observation.sequence
        for sequence in range(recovery.base_sequence, observation.sequence):
            # Until the opening has shown what it recovered, a power cut may take that away.
            recovery.states[sequence] = recording.allowed_states(point, sequence)
        self.run(recovery, "weak" if is_kill else model, first=model, path=f"{place}; then ")


def _operation_before(recording: Recording[D], point: int) -> str:
    """Return the last operation before a point, for messages."""
    if point == 0:
        return "nothing"
    operation = recording.disk.operations[point - 1]
    return f"{operation.kind} {operation.name}{' -> ' * bool(operation.target)}{operation.target}"


def crash_everywhere(
    make: Callable[[Path], D],
    workload: Callable[[D], object],
    *,
    check: Callable[[D], object] | None = None,
    contents: Contents = EMPTY,
    models: Sequence[Model] = MODELS,
    follow_up: Callable[[D], object] = delete_a_row,
    seed: int = 0,
    max_states: int = 25,
    nested: int = 0,
) -> CrashReport:
    """Run a workload, open the store in every state that a crash at any file operation may have left; count them.

    Each must open, have exactly the rows after some commit, all acknowledged ones included, with indexes and
    constraints sound, have the same rows when opened again, pass `check`, and take a further commit.

    Args:
        make: returns a closed database for a directory; the database's class does.
        workload: called with the open database.
        check: called with the reopened database in every state, also in those before the first commit; raises, or
            returns False, if an invariant of yours does not hold.
        contents: what is on the disk at first; nothing if not given.
        models: which crashes: "kill", "ordered", "weak"; see `snaptable.testing.crash`.
        follow_up: makes the further commit; deletes a row if not given.
        seed: chooses the sample if there are more states than `max_states`.
        max_states: the most states that are opened after one operation.
        nested: how many of these crash again during recovery and after it; 1 means thirty times as many states, which
            take about a minute for four commits.

    Raises:
        AssertionError: naming the operation, the model, the seed and what was lost, or how `check` failed.
    """
    search = CrashSearch(seed=seed, max_states=max_states, nested=nested, follow_up=follow_up, check=check)
    with silenced_log():
        recording = record(make, workload, contents)
    return search_everywhere(recording, search, models)


def search_everywhere(recording: Recording[D], search: CrashSearch[D], models: Sequence[Model] = MODELS) -> CrashReport:
    """Open the store in every state that a crash in a recording may have left; see `crash_everywhere`."""
    with silenced_log():
        for model in models:
            search.run(recording, model)
    if search.report.failures:
        raise AssertionError(f"{search.report}:\n" + "\n".join(search.report.failures))
    return search.report
