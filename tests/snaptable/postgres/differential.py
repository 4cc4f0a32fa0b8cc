"""Random transactions on both engines, side by side: the same rows in the same order, the same results and errors.

    uv run python -m tests.snaptable.postgres.differential --operations 100000 --seed 1

It is done in parts of 1,000 operations, each on empty tables and with a seed of its own, which follows from the seed
and the part's number. Each part is told as it is done, with how to go on behind it. Prints the seed, what was done,
and the first difference with the transaction that led to it.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.snaptable.contract.plain_model import MODELS, Library
from tests.snaptable.postgres import stores
from tests.snaptable.postgres.moves import images

from snaptable import ConstraintError, InvalidQuery, Row, RowNotFound, desc

Operation = tuple[Any, ...]
POOLS: dict[str, dict[str, list[Any]]] = {
    "users": {
        "id": ["a", "b", "c", "é"], "email": [None, "x", "y", "\U0010ffff"], "age": [None, 0, 7, 2**62],
        "boss": [None, "a", "b"],
    },
    "documents": {
        "id": [1, 2, 3, 4, None, None], "user": ["a", "b", "c"], "name": [None, "s", "t"], "status": ["", "q"],
        "tags": [[], ["x"], ["x", "y", "x"]],
    },
    "notes": {
        "id": ["n", "m", "o", "p"], "document": [None, 1, 2, 3], "above": [None, "n", "m", "o"], "by": [None, "a", "b"],
    },
    "holds": {"id": ["h", "i"], "note": [None, "n", "m"], "user": [None, "a", "b"]},
}  # fmt: skip
VERBS = ["insert", "insert", "insert", "upsert", "replace", "update", "delete", "many", "update where", "delete where"]
QUESTIONS = ["find", "sort", "count", "page", "group"]
MOST_IN_TRANSACTION = 6
PART = 1000
"""Operations that are done on the same tables."""


class Undone(Exception):
    """Raised to roll a transaction, or a part of it, back."""


@dataclass
class Outcome:
    """What was done on both engines, and the first difference; None if there is none."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    difference: str | None = None


def run(operations: int, seed: int, first: int = 0, tell: Callable[[int, Outcome], None] | None = None) -> Outcome:
    """Do so many operations on both engines, in transactions or by themselves, with questions in between.

    Args:
        operations: how many, those of parts that are left out counted.
        seed: of what is drawn.
        first: the part to begin with.
        tell: called after each part with the number of parts that are done, and the sums.
    """
    total = Outcome(seed)
    for part in range(first, -(-operations // PART)):
        url = stores.new_schema()
        try:
            with Library(url) as server:
                outcome = compare(server, min(PART, operations - part * PART), random.Random(f"{seed}.{part}"))
        finally:
            stores.drop_schemas([url])
        total.counts += outcome.counts
        if outcome.difference is not None:
            total.difference = f"part {part}: {outcome.difference}"
            break
        if tell is not None:
            tell(part + 1, total)
    return total


def compare(server: Library, operations: int, rng: random.Random) -> Outcome:
    """Do the same on an empty database of PostgreSQL's, and in memory."""
    outcome = Outcome(0)
    with Library("memory:") as memory:
        while outcome.counts["operations"] < operations and outcome.difference is None:
            plan = _drawn(rng, outcome)
            results = [_done(db, plan) for db in (memory, server)]
            outcome.counts["refused commits"] += results[0][:1] == ["refused"]
            outcome.counts["errors"] += sum(str(each).startswith("error") for each in results[0])
            if results[0] != results[1] or images(memory) != images(server):
                outcome.difference = f"{plan}\n  memory:     {results[0]}\n  postgresql: {results[1]}"
        if outcome.difference is None and server.check():
            outcome.difference = "; ".join(server.check())
    return outcome


def _drawn(rng: random.Random, outcome: Outcome) -> Operation:
    """Return a transaction: whether it is one, whether it is undone, and its operations."""
    together = rng.random() < 0.7
    block = [_operation(rng) for _ in range(rng.randrange(1, MOST_IN_TRANSACTION))]
    if together and rng.random() < 0.3:
        block.append(("part", rng.random() < 0.5, [_operation(rng) for _ in range(rng.randrange(3))]))
    outcome.counts["transactions"] += 1
    outcome.counts["operations"] += len(block)
    return together, rng.random() < 0.1, block


def _operation(rng: random.Random) -> Operation:
    name = rng.choice([*POOLS])
    pool = POOLS[name]

    def values() -> dict[str, Any]:
        return {each: rng.choice(choices) for each, choices in pool.items()}

    key = rng.choice([each for each in pool["id"] if each is not None])
    fields = [each for each in pool if each != "id"]
    one, other = rng.choice(fields), rng.choice(fields)
    if rng.random() < 0.3:
        return rng.choice(QUESTIONS), name, one, rng.choice(pool[one]), rng.randrange(1, 4)
    verb = rng.choice(VERBS)
    match verb:
        case "insert" | "upsert" | "replace":
            return verb, name, {**values(), "id": key} if verb == "replace" else values()
        case "many":
            return verb, name, [{**values(), "id": each} for each in rng.sample([e for e in pool["id"] if e], 2)]
        case "update":
            return verb, name, key, {one: rng.choice(pool[one])}
        case "delete":
            return verb, name, key
    return verb, name, one, rng.choice(pool[one]), other, rng.choice(pool[other])


def _done(db: Library, plan: Operation) -> list[Any]:
    """Carry a transaction out; return what each operation gave, "refused" for one that can't be committed."""
    together, undone, block = plan
    results: list[Any] = []
    if not together:
        return [_result(db, operation) for operation in block]
    try:
        with db.transaction():
            results = [_result(db, operation) for operation in block]
            if undone:
                raise Undone
    except Undone:
        return [*results, "undone"]
    except ConstraintError as error:
        return ["refused", type(error).__name__]
    return results


def _result(db: Library, operation: Operation) -> Any:
    try:
        return _carried_out(db, operation)
    except (ConstraintError, RowNotFound, InvalidQuery) as error:
        return f"error {type(error).__name__}"


def _carried_out(db: Library, operation: Operation) -> Any:
    verb, *given = operation
    if verb == "part":
        undone, block = given
        results = []
        try:
            with db.transaction():
                results = [_result(db, each) for each in block]
                if undone:
                    raise Undone
        except Undone:
            results.append("undone")
        return results
    table: Any = db.tables[given[0]]
    make: Callable[..., Row] = MODELS[given[0]]
    match verb:
        case "insert" | "upsert" | "replace":
            return dict(getattr(table, verb)(make(**given[1])))
        case "many":
            return [dict(row) for row in table.insert_many([make(**values) for values in given[1]])]
        case "update":
            return dict(table.update(given[1], **given[2]))
        case "delete":
            return dict(table.delete(given[1]))
        case "update where":
            return table.where(**{given[1]: given[2]}).update(**{given[3]: given[4]})
        case "delete where":
            return table.where(**{given[1]: given[2]}).delete()
    return _answer(table, verb, *given[1:])


def _answer(table: Any, verb: str, name: str, value: Any, limit: int) -> Any:
    query, column = table.where(**{name: value}), getattr(table.model, name)
    match verb:
        case "find":
            return sorted((dict(row) for row in query), key=repr)
        case "sort" if name != "tags":
            return [dict(row) for row in table.order_by(desc(column)).limit(limit)]
        case "group" if name != "tags":
            return [(group.key, group.n) for group in table.group_by(column).order_by(column).aggregate(n=_count())]
        case "page":
            page = query.page(limit=limit)
            return [row.id for row in page.items], [row.id for row in query.page(limit=9, after=page.next_cursor).items]
    return query.count(), query.exists()


def _count() -> Any:
    from snaptable import Count

    return Count()


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--first", type=int, default=0, help="part to begin with, to go on where a run ended")
    given = parser.parse_args()
    begun = time.monotonic()

    def tell(parts: int, outcome: Outcome) -> None:
        done, seconds = outcome.counts["operations"], time.monotonic() - begun
        print(  # noqa: T201
            f"seed {given.seed}, {done:,} operations in {seconds:.0f} s, no difference; go on with --first {parts}",
            flush=True,
        )

    outcome = run(given.operations, given.seed, given.first, tell)
    done = ", ".join(f"{count:,} {what}" for what, count in outcome.counts.items())
    print(f"seed {outcome.seed}: {done} in {time.monotonic() - begun:.0f} s")  # noqa: T201
    print(outcome.difference or "no difference")  # noqa: T201
    return 1 if outcome.difference else 0


if __name__ == "__main__":
    raise SystemExit(main())
