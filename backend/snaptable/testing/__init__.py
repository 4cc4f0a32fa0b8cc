"""What proves that a store survives: a disk that fails, forgets and dies, and every state a crash may leave on it.

`README.md` shows each part in a few lines; the pytest plugin is `_snaptable_pytest`, beside the package. Nothing is
imported before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snaptable.testing.app import AppHandle as AppHandle
    from snaptable.testing.disk import SimulatedDisk as SimulatedDisk
    from snaptable.testing.faults import DiskFaults as DiskFaults
    from snaptable.testing.judge import Tally as Tally
    from snaptable.testing.judge import crash_everywhere as crash_everywhere
    from snaptable.testing.life import StoreHandle as StoreHandle
    from snaptable.testing.run import on_disk as on_disk
    from snaptable.testing.survival import assert_survives_restart as assert_survives_restart
    from snaptable.testing.workshop import Seed as Seed
    from snaptable.testing.workshop import Workshop as Workshop

_HOMES = {
    "AppHandle": "app",
    "DiskFaults": "faults",
    "Seed": "workshop",
    "SimulatedDisk": "disk",
    "StoreHandle": "life",
    "Tally": "judge",
    "Workshop": "workshop",
    "assert_survives_restart": "survival",
    "crash_everywhere": "judge",
    "on_disk": "run",
}

__all__ = [
    "AppHandle",
    "DiskFaults",
    "Seed",
    "SimulatedDisk",
    "StoreHandle",
    "Tally",
    "Workshop",
    "assert_survives_restart",
    "crash_everywhere",
    "on_disk",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
