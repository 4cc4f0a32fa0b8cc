"""What tests that a store survives: a disk that fails and loses what was not synced, and every state after a crash.

`README.md` shows each part in a few lines; the pytest plugin is `_snaptable_pytest`, beside the package. A name is
imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snaptable.testing.app import AppHandle as AppHandle
    from snaptable.testing.disk import SimulatedDisk as SimulatedDisk
    from snaptable.testing.faults import DiskFaults as DiskFaults
    from snaptable.testing.fixtures import AppFixture as AppFixture
    from snaptable.testing.fixtures import ForkFixture as ForkFixture
    from snaptable.testing.fixtures import StoreFixture as StoreFixture
    from snaptable.testing.fixtures import StoreTemplate as StoreTemplate
    from snaptable.testing.fixtures import TemplateFixture as TemplateFixture
    from snaptable.testing.oracle import CrashReport as CrashReport
    from snaptable.testing.oracle import crash_everywhere as crash_everywhere
    from snaptable.testing.process import StoreHandle as StoreHandle
    from snaptable.testing.survival import assert_survives_restart as assert_survives_restart

_MODULES = {
    "AppFixture": "fixtures",
    "AppHandle": "app",
    "CrashReport": "oracle",
    "DiskFaults": "faults",
    "ForkFixture": "fixtures",
    "SimulatedDisk": "disk",
    "StoreFixture": "fixtures",
    "StoreHandle": "process",
    "StoreTemplate": "fixtures",
    "TemplateFixture": "fixtures",
    "assert_survives_restart": "survival",
    "crash_everywhere": "oracle",
}

__all__ = [
    "AppFixture",
    "AppHandle",
    "CrashReport",
    "DiskFaults",
    "ForkFixture",
    "SimulatedDisk",
    "StoreFixture",
    "StoreHandle",
    "StoreTemplate",
    "TemplateFixture",
    "assert_survives_restart",
    "crash_everywhere",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
