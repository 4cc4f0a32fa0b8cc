"""How many files the process may have open, which bounds how many connections it can take."""

import sys

if sys.platform != "win32":
    import resource

RESERVE = 32
"""Descriptors of the process itself: the listener, the event loop, the store, the log."""
ANY_NUMBER = sys.maxsize


def raise_soft_limit(wanted: int) -> int:
    """Raise the soft limit of open files to a number, as far as the hard one allows, and return what holds now."""
    if sys.platform == "win32":  # sockets are no files there
        return ANY_NUMBER
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY:
        return ANY_NUMBER
    if soft < target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (OSError, ValueError):  # some systems have a lower bound than they say
            return soft
        return target
    return soft


def connections_within(wanted: int, open_files: int) -> int:
    """Return how many connections fit into a number of open files, if each needs a file of its own as well."""
    return max(1, min(wanted, (open_files - RESERVE) // 2))
