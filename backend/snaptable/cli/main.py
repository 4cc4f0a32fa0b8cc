"""What is called first. It needs nothing but Python, so that it can say what is missing."""

import sys
from collections.abc import Sequence

EXTRAS = {
    "click": "cli", "rich": "cli", "fastapi": "web", "starlette": "web", "uvicorn": "web", "httptools": "web",
    "prometheus_client": "web", "jinja2": "admin", "pyrage": "backup", "psycopg": "postgres",
}  # fmt: skip
"""Which extra of the package brings which module."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 problems or nothing found, 2 called wrongly, and others.

    Args:
        arguments: what follows the command's name; None for those of this process.
    """
    try:
        from snaptable.cli.root import run

        return run(arguments)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        sys.stderr.write(f'snaptable: {error.name} is not installed; this needs: pip install "snaptable[{extra}]"\n')
        return 2
