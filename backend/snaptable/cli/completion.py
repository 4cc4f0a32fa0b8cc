"""`snaptable completion SHELL`: the script that completes commands, options and tables."""

import json
from pathlib import Path

from snaptable.cli.commands import COMPLETE_VARIABLE
from snaptable.cli.common import EXIT_SOUND, output
from snaptable.cli.settings import store_of

MOST = 1 << 20
"""Bytes of a snapshot's header that are read."""


def run(*, shell: str) -> int:
    """Write the script."""
    import click
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(click.Group(), {}, "snaptable", COMPLETE_VARIABLE).source()
    if output().as_json:
        output().document({"shell": shell, "script": script})
    else:
        output().write(script)
    return EXIT_SOUND


def tables_in(store: object) -> list[str]:
    """Return the tables of a store by the header of its snapshot, without reading the rest; none if that fails."""
    try:
        path = Path(store_of(store if isinstance(store, str) else None))
        with (path if path.is_file() else path / "db_snapshot.json").open("rb") as file:
            file.readline()
            header = file.readline(MOST).partition(b": ")[2].rstrip(b",\n")
        return list(json.loads(header)["rows"])
    except Exception:  # noqa: BLE001 - nothing is completed then
        return []
