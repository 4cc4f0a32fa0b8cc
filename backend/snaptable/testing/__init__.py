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
    from snaptable.testing.fixtures import StoreFactory as StoreFactory
    from snaptable.testing.fixtures import StoreTemplate as StoreTemplate
    from snaptable.testing.oracle import CrashReport as CrashReport
    from snaptable.testing.oracle import crash_everywhere as crash_everywhere
    from snaptable.testing.process import StoreHandle as StoreHandle
    from snaptable.testing.recording import on_disk as on_disk
    from snaptable.testing.survival import assert_survives_restart as assert_survives_restart

_HOMES = {
    "AppHandle": "app",
    "DiskFaults": "faults",
    "StoreTemplate": "fixtures",
    "SimulatedDisk": "disk",
    "StoreHandle": "process",
    "CrashReport": "oracle",
    "StoreFactory": "fixtures",
    "assert_survives_restart": "survival",
    "crash_everywhere": "oracle",
    "on_disk": "recording",
}

__all__ = [
    "AppHandle",
    "CrashReport",
    "DiskFaults",
    "SimulatedDisk",
    "StoreFactory",
    "StoreHandle",
    "StoreTemplate",
    "assert_survives_restart",
    "crash_everywhere",
    "on_disk",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
