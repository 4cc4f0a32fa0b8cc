"""The server's plans, as `explain()` shows them."""

import json

from snaptable.conditions.columns import INSERTED
from snaptable.contract import Plan
from snaptable.postgres.layout.names import name_of
from snaptable.postgres.queries.question import Question
from snaptable.postgres.rows import TableRows
from snaptable.postgres.server.connections import Fetch


def explain(fetch: Fetch, rows: TableRows, sql: str, question: Question) -> Plan:
    """Return the plan of a statement: the first access to the table, and how many rows it is expected to give."""
    ((answer,),) = fetch(f"explain (format json) {sql}", question.statement.params)
    node = (answer if isinstance(answer, list) else json.loads(answer))[0]["Plan"]
    sorts = question.sorts
    nodes = [node]
    while node.get("Plans"):
        node = node["Plans"][0]
        nodes.append(node)
    sorts |= any("Sort" in each["Node Type"] for each in nodes) and bool(question.order)
    # What an index gives in order is read up to the limit; the least and the greatest are plans of their own for that.
    is_read_in_order = not any("Filter" in each or "Sort" in each["Node Type"] for each in nodes)
    ends = [each["Plan Rows"] for each in nodes if each["Node Type"] == "Limit" and is_read_in_order]
    access = next((each for each in reversed(nodes) if "Scan" in each["Node Type"]), node)
    filtered = sum("Filter" in each for each in nodes) and max(1, len(question.where.tests) - ("Index Cond" in access))
    filters = len(question.where.residual) + filtered + (question.wanted.keep is not None)
    expected = int(min([node["Plan Rows"], *ends]))
    sorts &= expected > 1
    return Plan(rows.name, _index_name(rows, access.get("Index Name"), question), expected, sorts, filters)


def _index_name(rows: TableRows, stored: str | None, question: Question) -> str | None:
    if stored is None:
        return None
    if stored == name_of(rows.name, "pkey"):
        return "primary key"
    if stored == name_of(rows.name, "place"):
        return None if not question.where.tests else INSERTED.name
    index = rows.ddl.indexed_names().get(stored)
    return stored if index is None else index.name
