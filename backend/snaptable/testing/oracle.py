"""Open a store in every state that a crash may have left, and judge it; `crash_everywhere` does it all at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic

from snaptable.database import Database
from snaptable.errors import ConstraintError
from snaptable.silenced_log import silenced_log
from snaptable.testing.crash import Model, states_after
from snaptable.testing.disk import EMPTY, Contents, SimulatedDisk
from snaptable.testing.recording import D, Recording, Rows, record, rows_of

MODELS: tuple[Model, ...] = ("kill", "ordered", "weak")


@dataclass
class CrashReport:
    """Count the states that were opened, by model, and keep what was wrong."""

    states: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {model}" for model, count in self.states.items())
        return f"{self.states.total():,} crash states ({counts}), {len(self.failures)} wrong"


def delete_a_row(db: Database) -> None:
    """Make a commit that any schema allows, where there is a row: delete the last one that nothing forbids to go."""
    for table in reversed(list(db.tables.values())):
        rows = table.where().all()
        if rows:
            with suppress(ConstraintError):
                table.delete(getattr(rows[-1], table.schema.key))
                return


@dataclass(frozen=True)
class Observation:
    """Be what was found in a state: the commit it shows, its rows, and what is wrong with it whatever was allowed."""

    sequence: int
    rows: Rows
    problem: str | None = None


def verify(run: Recording[D], further: Callable[[D], object]) -> Observation:
    """Open a store on a disk as a crash left it, go on with it, and return what was found."""
    try:
        # 1. It opens, and is sound.
        with closing(run.open(run.new())) as db:
            first = Observation(db.status().sequence, rows_of(db), "; ".join(db.check()) or None)
        # 2. Opening again changes nothing.
        with closing(run.open(run.new())) as db:
            if rows_of(db) != first.rows:
                return replace(first, problem="holds something else when opened again")
            # 3. A further commit works,
            further(db)
            after = rows_of(db)
        # 4. and is there, whole, the next time.
        with closing(run.open(run.new())) as db:
            if rows_of(db) != after:
                return replace(first, problem="lost what was written after the recovery")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong with this state
        return Observation(-1, {}, f"{type(error).__name__}: {error}")
    return first


@dataclass
class Search(Generic[D]):
    """Be a search of crash states.

    Attributes:
        tally: what was found so far.
        seed: chooses the samples.
        most: so many states after one operation, at the most.
        nested: so many of them are crashed again, at each operation of their recovery and of a commit after it.
        further: makes a commit in a store that was recovered.
        enough: stop at so many failures.
    """

    tally: CrashReport = field(default_factory=CrashReport)
    seed: int = 0
    most: int = 25
    nested: int = 0
    further: Callable[[D], object] = delete_a_row
    enough: int = 10
    _known: dict[int, Observation] = field(default_factory=dict)

    def run(
        self, run: Recording[D], model: Model, *, every: int = 1, first: Model | None = None, where: str = ""
    ) -> None:
        """Open the store in every state after every operation of a run, or after every so many.

        Args:
            run: the run.
            model: the kind of crash.
            every: look after one of so many operations.
            first: the kind of the crash that the run began with, where there was one.
            where: what led to it, for messages.
        """
        kind = model if first is None else f"{first}, nested"
        for point in range(run.begun, run.now + 1, every):
            for number, contents in enumerate(states_after(run.disk, point, model, self.seed, self.most)):
                if len(self.tally.failures) >= self.enough:
                    return
                self.tally.states[kind] += 1
                at = (
                    f"{where}{model}, after operation {point} ({_before(run, point)}), state {number}, seed {self.seed}"
                )
                if first is None and number < self.nested:
                    self._crash_again(run, contents, point, model, at)
                else:
                    self._settle(run, point, self._verdict(run, contents), at)

    def _settle(self, run: Recording[D], point: int, verdict: Observation, at: str) -> bool:
        """Return whether a verdict is a good one; keep it where it isn't."""
        problem = verdict.problem or run.allows(point, verdict.sequence, verdict.rows)
        if problem is not None:
            self.tally.failures.append(f"{at}: {problem}")
        return problem is None

    def _verdict(self, run: Recording[D], contents: Contents) -> Observation:
        # The same files are found after many operations; what was allowed differs, what is there doesn't.
        signature = hash(contents.signature())
        if signature not in self._known:
            self._known[signature] = verify(Recording(run.make, SimulatedDisk(contents)), self.further)
        return self._known[signature]

    def _crash_again(self, run: Recording[D], contents: Contents, point: int, model: Model, at: str) -> None:
        # After a kill the system lives, and with it what was written and never synced.
        disk = run.disk.resumed(point) if model == "kill" else SimulatedDisk(contents)
        after = Recording(run.make, disk, begun=len(disk.operations))
        verdict = verify(after, self.further)
        if not self._settle(run, point, verdict, at):
            return
        after.base = run.bounds(point)[0] if model == "kill" else verdict.sequence
        for sequence in range(after.base, verdict.sequence):
            # Until the opening has shown what it found, a power cut may take it.
            after.states[sequence] = run.allowed(point, sequence)
        self.run(after, "weak" if model == "kill" else model, first=model, where=f"{at}; then ")


def _before(run: Recording[D], point: int) -> str:
    """Return what was done last before a point."""
    if point == 0:
        return "nothing"
    operation = run.disk.operations[point - 1]
    return f"{operation.kind} {operation.name}{' -> ' * bool(operation.target)}{operation.target}"


def crash_everywhere(
    make: Callable[[Path], D],
    workload: Callable[[D], object],
    *,
    contents: Contents = EMPTY,
    models: Sequence[Model] = MODELS,
    further: Callable[[D], object] = delete_a_row,
    seed: int = 0,
    most: int = 25,
    nested: int = 0,
) -> CrashReport:
    """Run a workload, then open the store in every state that a crash at any of its file operations may have left.

    Each must open, hold exactly the rows after some commit, all acknowledged ones included, with indexes and
    constraints sound, hold the same when opened again, and take a further commit.

    Args:
        make: gives a closed database for a directory; the database's class does.
        workload: handed the open database.
        contents: what is on the disk at first; nothing when not said.
        models: which crashes: "kill", "ordered", "weak"; see `snaptable.testing.crash`.
        further: makes a commit in each recovered store; deletes a row when not said.
        seed: chooses among the states where there are more than `most`.
        most: so many states after one operation, at the most.
        nested: so many of these crash again during recovery and after it.

    Returns:
        How many states were opened.

    Raises:
        AssertionError: naming the operation, the model, the seed and what was lost.
    """
    with silenced_log():
        run = record(make, workload, contents)
    return search_everywhere(run, models=models, further=further, seed=seed, most=most, nested=nested)


def search_everywhere(
    run: Recording[D],
    *,
    models: Sequence[Model] = MODELS,
    further: Callable[[D], object] = delete_a_row,
    seed: int = 0,
    most: int = 25,
    nested: int = 0,
) -> CrashReport:
    """Open the store in every state that a crash in a run may have left; see `crash_everywhere`."""
    found: Search[D] = Search(seed=seed, most=most, nested=nested, further=further)
    with silenced_log():
        for model in models:
            found.run(run, model)
    if found.tally.failures:
        raise AssertionError(f"{found.tally}:\n" + "\n".join(found.tally.failures))
    return found.tally
