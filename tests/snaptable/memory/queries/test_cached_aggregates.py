"""Aggregates of filtered rows out of columns that earlier scans left: the same answers, whatever changes between."""

from typing import Annotated, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from snaptable import Avg, Count, Database, Index, Max, Min, Row, Sum, Table


class Box(BaseModel):
    x: int = 0


class Item(Row):
    id: int
    page: int
    weight: float | None = None
    kind: Annotated[str, Index()] = "a"
    box: Box = Box()


class Shop(Database):
    items: Table[Item]


numbers = st.integers(0, 4)
steps = st.one_of(
    st.tuples(st.sampled_from(["ask", "ask", "ask", "add", "change", "remove", "roll back"]), numbers, numbers),
)


def answer(items: Table[Item], page: int) -> tuple[Any, ...]:
    """Return aggregates of the items of at least a page, and of their groups."""
    found = items.where(Item.page >= page)
    whole = found.aggregate(
        n=Count(),
        sum=Sum(Item.page),
        mean=Avg(Item.weight),
        low=Min(Item.weight),
        x=Max(Item.box.x),
        kind=Max(Item.kind),
    )
    groups = found.group_by(Item.kind).aggregate(n=Count(), sum=Sum(Item.page))
    return tuple(whole.values()), sorted((group.key, *group.values.values()) for group in groups)


def plainly(rows: list[Item], page: int) -> tuple[Any, ...]:
    """Return the same by plain Python."""
    chosen = [row for row in rows if row.page >= page]
    weights = [row.weight for row in chosen if row.weight is not None]
    kinds = sorted({row.kind for row in chosen})
    by_kind = [[row.page for row in chosen if row.kind == kind] for kind in kinds]
    return (
        len(chosen),
        sum(row.page for row in chosen),
        sum(weights) / len(weights) if weights else None,
        min(weights, default=None),
        max((row.box.x for row in chosen), default=None),
        max((row.kind for row in chosen), default=None),
    ), [(kind, len(pages), sum(pages)) for kind, pages in zip(kinds, by_kind, strict=True)]


@settings(max_examples=60)
@given(st.lists(steps, max_size=14))
def test_against_plain_python(history: list[tuple[str, int, int]]) -> None:
    """Ensure every answer is right: the first, those from the cache, behind changes, and inside transactions."""
    with Shop("memory:") as db:
        for number, (kind, first, second) in enumerate(history):
            match kind:
                case "add":
                    weight = None if second == 0 else second / 2
                    db.items.insert(Item(id=number, page=first, weight=weight, kind="ab"[first % 2], box=Box(x=second)))
                case "change":
                    db.items.where(Item.page == first).update(page=second)
                case "remove":
                    db.items.where(Item.page == first).limit(1).delete()
                case "roll back":
                    try:
                        with db.transaction():
                            db.items.insert(Item(id=number, page=first))
                            assert answer(db.items, second) == plainly(list(db.items), second)
                            raise InterruptedError
                    except InterruptedError:
                        pass
            for _ in range(3):
                assert answer(db.items, second) == plainly(list(db.items), second)
