"""`snaptable tables --advise`: what the server that has the store open knows of slow queries."""

from snaptable.cli.common import UsageError
from snaptable.cli.settings import store_of


def show_advice(store: str | None) -> int:
    """Write slow queries, and the indexes to write."""
    raise UsageError(f"--advise asks the server that has {store_of(store)} open; there is none")
