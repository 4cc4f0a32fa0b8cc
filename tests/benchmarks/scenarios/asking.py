"""Asking more: aggregates, groups and rows with what belongs to them, each against one statement of sqlite."""

from collections.abc import Callable, Iterator
from itertools import count, islice

from tests.benchmarks.bench import Bench, Finding, finding
from tests.benchmarks.measure import Side, each
from tests.benchmarks.peers.ours import Ours
from tests.benchmarks.peers.sqlite import SqliteWal
from tests.benchmarks.rows import Annotation, Document, annotation_of, document_of

from snaptable import Avg, Count, Max, Min, Sum

ROWS = "100k"
SQL_TOTALS = "SELECT count(*), sum(page), avg(x), min(y), max(y) FROM annotations WHERE x > ?"
SQL_GROUPS = "SELECT kind, count(*), sum(page), max(x) FROM annotations WHERE x > ? GROUP BY kind"
SQL_DOCUMENTS = "SELECT * FROM documents WHERE upload_date >= ? ORDER BY upload_date LIMIT 50"


def asking(bench: Bench) -> Iterator[Finding]:
    """Ask for aggregates of 100k rows, for groups of them, and for 50 documents with their annotations."""
    with bench.filled("snaptable", ROWS) as ours, bench.filled("sqlite, WAL FULL", ROWS) as sqlite:
        bounds = _bounds()
        for name, (one, other) in {
            "aggregate sqlite": (totals(ours), totals_in_sql(sqlite)),
            "group sqlite": (groups(ours), groups_in_sql(sqlite)),
        }.items():
            assert _close(one(0.5), other(0.5)), name
            sides = [Side("snaptable", each(one, bounds)), Side(sqlite.name, each(other, bounds))]
            yield finding(name, bench.interleave(sides))
        both = (with_annotations(ours), with_annotations_in_sql(sqlite))
        moment = bench.rows(ROWS).moments(1)[0]
        assert both[0](moment) == both[1](moment)
        sides = [
            Side(name, each(ask, bench.rows(ROWS).moments)) for name, ask in zip(("ours", "sqlite"), both, strict=True)
        ]
        yield finding("with many sqlite", bench.interleave(sides))


def _bounds() -> Callable[[int], list[float]]:
    """Return what gives bounds that are never asked for twice: nobody shall answer from memory of the question."""
    bounds = (number * 1e-9 for number in count(1))
    return lambda times: list(islice(bounds, times))


def _close(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> bool:
    """Return whether two answers are the same, but for the last digits of a mean."""
    return [[round(v, 9) if isinstance(v, float) else v for v in row] for row in sorted(one, key=str)] == [
        [round(v, 9) if isinstance(v, float) else v for v in row] for row in sorted(other, key=str)
    ]


def totals(ours: Ours) -> Callable[[float], list[tuple[object, ...]]]:
    """Return our aggregate."""
    table = ours.db.annotations

    def ask(bound: float) -> list[tuple[object, ...]]:
        found = table.where(Annotation.x > bound).aggregate(
            n=Count(), pages=Sum(Annotation.page), x=Avg(Annotation.x), low=Min(Annotation.y), high=Max(Annotation.y)
        )
        return [tuple(found.values())]

    return ask


def totals_in_sql(sqlite: SqliteWal) -> Callable[[float], list[tuple[object, ...]]]:
    """Return sqlite's."""
    return lambda bound: sqlite.rows_of(SQL_TOTALS, bound)


def groups(ours: Ours) -> Callable[[float], list[tuple[object, ...]]]:
    """Return our groups."""
    table = ours.db.annotations

    def ask(bound: float) -> list[tuple[object, ...]]:
        found = table.where(Annotation.x > bound).group_by(Annotation.kind)
        return [
            (group.key, *group.values.values())
            for group in found.aggregate(n=Count(), pages=Sum(Annotation.page), x=Max(Annotation.x))
        ]

    return ask


def groups_in_sql(sqlite: SqliteWal) -> Callable[[float], list[tuple[object, ...]]]:
    """Return sqlite's."""
    return lambda bound: sqlite.rows_of(SQL_GROUPS, bound)


Shelves = list[tuple[Document, list[Annotation]]]


def with_annotations(ours: Ours) -> Callable[..., Shelves]:
    """Return our documents with their annotations."""
    db = ours.db

    def ask(since: object) -> Shelves:
        documents = db.documents.where(Document.upload_date >= since).order_by(Document.upload_date).limit(50)  # type: ignore[operator]
        return [
            (document, sorted(marks, key=lambda mark: mark.id))
            for document, marks in documents.with_many(db.annotations, on=Annotation.document_id)
        ]

    return ask


def with_annotations_in_sql(sqlite: SqliteWal) -> Callable[..., Shelves]:
    """Return sqlite's, by one statement a level; typed rows, as everybody returns."""

    def ask(since: object) -> Shelves:
        found = [document_of(record) for record in sqlite.rows_of(SQL_DOCUMENTS, since.isoformat())]  # type: ignore[attr-defined]
        places = ",".join("?" * len(found))
        marks: dict[str, list[Annotation]] = {document.id: [] for document in found}
        statement = f"SELECT * FROM annotations WHERE document_id IN ({places}) ORDER BY id"
        for record in sqlite.rows_of(statement, *marks):
            mark = annotation_of(record)
            marks[mark.document_id].append(mark)
        return [(document, marks[document.id]) for document in found]

    return ask
