"""`snaptable tables --advise`: what the server that has the store open knows of slow queries."""

from snaptable.cli.common import UsageError


def show_advice(store: str | None) -> int:
    """Write slow queries, and the indexes to write."""
    raise UsageError("--advise asks the server that has the store open; there is none")
