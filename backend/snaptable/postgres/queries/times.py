"""Comparisons of naive with aware times are errors, as in memory, where rows hold the other kind."""

from collections.abc import Callable, Iterator

from snaptable.conditions.predicates import Term, terms_of
from snaptable.contract import Select
from snaptable.evaluation.time_kinds import Kind, TimeKinds, check_times, holds_times, kinds_of, other
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Fetch


def check(fetch: Fetch, rows: TableRows, wanted: Select) -> None:
    """Refuse a query that compares a time with those of another kind; asks the server for queries about times alone.

    Raises:
        InvalidQuery: the column holds times of the other kind.
    """
    for term, value in _asked(wanted):
        kinds = kinds_of(value)
        if kinds:
            counts = _counts(fetch, rows, term)
            for kind in kinds:
                check_times(term, rows.name, kind, counts(kind), counts(other(kind)))


def _asked(wanted: Select) -> Iterator[tuple[Term, object]]:
    terms = (term for template in wanted.where for term in terms_of(template))
    for term, value in zip(terms, wanted.values, strict=False):
        if holds_times(term.column):
            yield term, value


def _counts(fetch: Fetch, rows: TableRows, term: Term) -> Callable[[Kind], int]:
    """Return what tells how many times of a kind a column holds; of moments only whether there are any, if none is."""
    column = None if term.column.is_part else rows.columns.by_name[term.column.name]
    if column is not None and column.family == "moment":

        def of_moments(kind: Kind) -> int:
            """Return how many there are."""
            test = f"from {rows.sql} where {column.twin} = {'true' if kind[1] == 'aware' else 'false'}"
            ((there,),) = fetch(f"select exists(select 1 {test})")
            return int(fetch(f"select count(*) {test}")[0][0]) if there else 0

        return of_moments
    if column is not None and column.family == "time":
        ((total,),) = fetch(f"select count({column.quoted}) from {rows.sql}")
        return lambda kind: int(total) if kind[1] == "naive" else 0
    if column is not None and column.family in ("naive", "aware"):
        ((total,),) = fetch(f"select count({column.quoted}) from {rows.sql}")
        return lambda kind: int(total) if kind[1] == column.family else 0
    records = fetch(f"select {rows.columns.select_list} from {rows.sql}")
    kinds = TimeKinds(term.column.name, map(rows.columns.row, records), term.column.read)
    return lambda kind: kinds.count(kind, None, None)
