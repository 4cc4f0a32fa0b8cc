"""Find Alice: without an index every row is looked at, each time."""

import time
from collections.abc import Iterator
from pathlib import Path

from demos.lesson.naive import NaiveStore
from demos.lesson.steps import Lane, Step, snapshot_in
from demos.lesson.tables import Mail, Person

PEOPLE = 20_000
RUNS = 5


def names() -> Iterator[str]:
    """Yield a name for each person; the last one is Alice."""
    for number in range(PEOPLE - 1):
        yield f"Person {number}"
    yield "Alice"


def naive(folder: Path) -> Iterator[Step]:
    """Look at everybody."""
    store = NaiveStore(snapshot_in(folder))
    store.save([{"id": number, "name": name} for number, name in enumerate(names(), 1)])
    people = store.load()
    yield Step(f"{len(people):,}", "people are loaded …", store.path)
    looked_at, best = 0, float("inf")
    for _ in range(RUNS):
        looked_at, began = 0, time.perf_counter()
        for person in people:
            looked_at += 1
            if person["name"] == "Alice":
                break
        best = min(best, time.perf_counter() - began)
    says = (
        f'[person for person in people if person["name"] == "Alice"] looked at {looked_at:,} in {1000 * best:.2f} ms.'
    )
    yield Step(f"{looked_at:,} looked at", says, store.path, held=looked_at < 100)


def ours(folder: Path) -> Iterator[Step]:
    """Ask the index, and let the query explain itself."""
    with Mail(folder, banner=False) as db:
        db.people.insert_many(Person(name=name) for name in names())
        yield Step(f"{db.people.count():,}", "people are stored …", snapshot_in(folder))
        query = db.people.where(Person.name == "Alice")
        plan, best = query.explain(), float("inf")
        for _ in range(RUNS):
            began = time.perf_counter()
            rows = query.all()
            best = min(best, time.perf_counter() - began)
        says = f"explain(): {plan}. {1000 * best:.3f} ms; it is one word in the model: Index()."
        held = len(rows) == 1 and plan.index is not None and plan.rows < 100
        yield Step(f"{plan.rows} looked at", says, snapshot_in(folder), held=held)


LANE = Lane(
    "find", "Find Alice", f"One of {PEOPLE:,} people is Alice. How many are looked at to find her?", naive, ours
)
