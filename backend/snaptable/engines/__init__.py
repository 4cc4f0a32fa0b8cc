"""Which engine a URL names, and how it is put together; `observers` is the seam for test tools.

An engine is imported when a database is first opened: half of what importing this package would cost.
"""

from snaptable.contract import Engine
from snaptable.engines.observers import OpenObserver, engine_of, observe_opens
from snaptable.engines.options import EngineOptions, Filesystem

__all__ = ["EngineOptions", "Filesystem", "OpenObserver", "engine_of", "observe_opens", "open_engine"]

MEMORY = "memory:"


def open_engine(options: EngineOptions) -> Engine:
    """Open the engine that a database's URL names.

    Raises:
        OpenError: it can't be opened; the subclasses say why.
    """
    if options.url == MEMORY:
        from snaptable.engines.volatile import VolatileEngine

        return VolatileEngine(options)
    from snaptable.engines.durable import DurableEngine

    return DurableEngine.open(options)
