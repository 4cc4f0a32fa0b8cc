"""How many rows a value of an index has is asked of the index: however many they are, and whoever else writes."""

from time import thread_time
from typing import Annotated

from snaptable import Database, Index, Row, Table


class Mark(Row):
    """A row of somebody."""

    id: int
    owner: Annotated[str, Index()]


class Marks(Database):
    """The database."""

    marks: Table[Mark]


def test_a_count_does_not_grow_with_what_it_counts() -> None:
    """Ensure that quotas, which are counted at every write, cost who has much no more than others."""

    def seconds(owner: str) -> float:
        counted = db.marks.where(Mark.owner == owner)
        counted.count()
        best = float("inf")
        for _ in range(15):
            begun = thread_time()
            for _ in range(200):
                counted.count()
            best = min(best, thread_time() - begun)
        return best

    with Marks("memory:") as db:
        db.marks.insert_many(Mark(id=n, owner="few" if n < 100 else "many") for n in range(10_100))
        assert seconds("many") < 3 * seconds("few")


def test_a_count_is_of_what_the_caller_sees() -> None:
    """Ensure the number within a transaction, and after one that was rolled back."""
    with Marks("memory:") as db:
        counted = db.marks.where(Mark.owner == "ann")
        db.marks.insert_many(Mark(id=n, owner="ann") for n in range(3))
        assert counted.count() == counted.count() == 3
        try:
            with db.transaction():
                db.marks.insert(Mark(id=9, owner="ann"))
                db.marks.delete(1)
                db.marks.update(0, owner="ben")
                assert counted.count() == 2
                raise KeyError
        except KeyError:
            assert counted.count() == 3
        db.marks.delete(1)
        assert (counted.count(), db.marks.where(Mark.owner == "ben").count()) == (2, 0)
