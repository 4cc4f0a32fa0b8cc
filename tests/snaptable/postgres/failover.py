"""A primary that ends by kill -9 under load, and its standby in its place: what was acknowledged, and what is there.

    uv run python -m tests.snaptable.postgres.failover --rounds 5 --seed 1
    uv run python -m tests.snaptable.postgres.failover --rounds 5 --seed 1 --asynchronous

Each round has a primary that syncs, a standby and eight threads that write by the URL of both. The primary is killed at
a random moment, the standby promoted a random moment later; the threads go on. Prints the seed, how many writes were
acknowledged, lost, there twice, or of unknown outcome, and the longest time without an answer. With a synchronous
standby none may be lost; with an asynchronous one those are that it had not been sent yet.
"""

import argparse
import random
import time
from dataclasses import dataclass, field
from itertools import pairwise

from tests.snaptable.postgres.load import Store, Writers, insert, wait_for
from tests.snaptable.postgres.server import SYNCED, running, url_of

WRITERS = 8
PATIENCE = 60.0
"""Seconds that calls wait for a server: a busy machine takes its time."""
GOES_ON_SECONDS = 0.5
LEAST = 20
"""Writes that are acknowledged at least before the primary is killed."""


@dataclass
class Outcome:
    """What came of the writes of all rounds.

    Attributes:
        acknowledged: that returned.
        lost: of these, those that are not there.
        twice: that history holds more than once.
        unknown: that raised OutcomeUnknown.
        failed: what was raised else, by writes and by reads, and the keys that are there without having been asked for.
        longest: seconds between two answers, at most.
    """

    seed: int
    synchronous: bool
    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    unknown: int = 0
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0


def run(rounds: int, *, seed: int, synchronous: bool) -> Outcome:
    """Fail over so many times, each with servers of its own."""
    rng, outcome = random.Random(seed), Outcome(seed, synchronous)
    for _ in range(rounds):
        _fail_over(rng, outcome)
        outcome.rounds += 1
    return outcome


def _fail_over(rng: random.Random, outcome: Outcome) -> None:
    with running(**SYNCED) as primary:
        standby = primary.standby()
        try:
            if outcome.synchronous:
                primary.sql("alter system set synchronous_standby_names = '*'")
                primary.sql("select pg_reload_conf()")
            with Store(url_of(primary, standby)) as db:
                wait_for(db, PATIENCE)
                writers = Writers(db, WRITERS, insert)
                time.sleep(rng.uniform(0.3, 1.0))
                writers.go_on(LEAST)
                primary.kill()
                time.sleep(rng.uniform(0.0, 0.3))
                standby.promote()
                promoted = time.monotonic()
                while not any(answer > promoted for answer in writers.answers[-WRITERS:]):
                    time.sleep(0.01)
                time.sleep(GOES_ON_SECONDS)
                writers.go_on(1)
                writers.end()
                _judge(db, writers, outcome)
        finally:
            standby.remove()


def _judge(db: Store, writers: Writers, outcome: Outcome) -> None:
    there = {row.id for row in db.entries}
    keys = [change.key for commit in db.history.commits("entries") for change in commit.changes]
    outcome.acknowledged += len(writers.acknowledged)
    outcome.lost += len(writers.acknowledged - there)
    outcome.twice += len(keys) - len(set(keys))
    outcome.unknown += len(writers.unknown)
    outcome.failed += [f"{name}: {error!r}" for name, error in writers.failed]
    outcome.failed += [*map(repr, writers.unreadable), *sorted(there - writers.asked)]
    gaps = [later - earlier for earlier, later in pairwise(sorted(writers.answers))]
    outcome.longest = max([outcome.longest, *gaps])


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--asynchronous", action="store_true")
    given = parser.parse_args()
    outcome = run(given.rounds, seed=given.seed, synchronous=not given.asynchronous)
    print(outcome)  # noqa: T201
    return 1 if outcome.twice or outcome.failed or (outcome.synchronous and outcome.lost) else 0


if __name__ == "__main__":
    raise SystemExit(main())
