"""What importing the package brings along: what a program needs that uses it, and nothing for what it may never do."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import snaptable

IMPORTED = """
import sys
import snaptable
print(*sys.modules)
{more}
print(*sys.modules)
"""


def modules(more: str = "") -> tuple[set[str], set[str]]:
    """Return what a fresh process has imported with the package, and after a few lines more."""
    text = IMPORTED.format(more=more)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stdout.splitlines()
    return set(first.split()), set(second.split())


@pytest.mark.parametrize("name", ["fastapi", "starlette", "app", "asyncio", "filelock", "sqlite3", "multiprocessing"])
def test_brings_nothing_along_that_it_does_not_need(name: str) -> None:
    """Ensure that a script pays for no server, no event loop and no lock it doesn't use."""
    assert name not in modules()[0]


def test_brings_the_engine_along_when_it_is_opened() -> None:
    """Ensure that declaring tables imports no engine, opening one in memory no storage, and neither an event loop."""
    before, after = modules(
        "class Thing(snaptable.Row):\n    id: str\n"
        "class Things(snaptable.Database):\n    things: snaptable.Table[Thing]\n"
        "with Things('memory:') as db:\n    db.things.insert(Thing(id='1'))\n"
    )
    assert not any(name.startswith(("snaptable.memory", "snaptable.storage.group_commit")) for name in before)
    assert "snaptable.memory.engine" in after
    assert not {"snaptable.storage.group_commit", "asyncio", "filelock"} & after


def test_the_version_is_that_of_the_installed_package() -> None:
    """Ensure it can be asked for, and that another name is still an AttributeError."""
    assert snaptable.__version__ == version("snaptable")
    with pytest.raises(AttributeError, match="nothing"):
        snaptable.nothing  # type: ignore[attr-defined]  # noqa: B018
