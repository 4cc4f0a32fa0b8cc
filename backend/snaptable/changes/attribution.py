"""Attribution: who made a commit, why, and by which way; kept with the commit in the journal."""

from contextlib import AbstractContextManager, ContextDecorator
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who made a commit, and why.

    Attributes:
        actor: who: a user's name or address, a job; None if nothing says so.
        note: why, in words.
        via: by which way: a request's method and path, a command.
    """

    actor: str | None = None
    note: str | None = None
    via: str | None = None

    def __post_init__(self) -> None:
        """Refuse what the journal can't hold."""
        if self.actor is not None:
            _check_text("actor", self.actor)
        if self.note is not None:
            _check_text("note", self.note)
        if self.via is not None:
            _check_text("via", self.via)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str or None; not of {type(value).__name__}")
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds a lone surrogate, which is not UTF-8") from None


_current: ContextVar[Attribution | None] = ContextVar("snaptable.attribution", default=None)
current_attribution = _current.get
"""Returns the attribution of the caller's thread or task; None outside of any; O(1)."""


_entered: ContextVar[tuple[Token[Attribution | None], ...]] = ContextVar("snaptable.attribution.entered", default=())
"""What to reset when the blocks are left that this thread or task is in, the innermost last."""


class _Attributed(ContextDecorator, AbstractContextManager[None]):
    """Blocks with an attribution: a class, for a generator would cost twice as much at each request.

    What an entry has to undo is kept with the thread or task that entered, so that one object serves any number of
    them, also at once and inside one another.
    """

    __slots__ = ("_inner",)

    def __init__(self, inner: Attribution) -> None:
        self._inner = inner

    def __enter__(self) -> None:
        _entered.set((*_entered.get(), _current.set(merged(_current.get(), self._inner))))

    def __exit__(self, *_error: object) -> None:
        entered = _entered.get()
        try:
            _current.reset(entered[-1])
        except (IndexError, ValueError):
            raise RuntimeError("attribution() is left in another thread or task than it was entered in") from None
        _entered.set(entered[:-1])


def attribution(*, actor: str | None = None, note: str | None = None, via: str | None = None) -> _Attributed:
    """Attribute the commits of a `with` block, in this thread or task: who made them, why, and by which way.

    What is left out is taken from the block around this one. An insert, a transaction or a `db.run` takes the
    attribution that holds where it begins. Costs nothing a row. What it returns can be entered any number of times,
    by several threads and tasks at once too, and decorates functions; a thread or task leaves what it has entered.

    Raises:
        TypeError, ValueError: one of them is not text, or not UTF-8.
        RuntimeError: of leaving, the block was entered in another thread or task.

    >>> from snaptable import attribution
    >>> with attribution(actor="ann@example.org", note="spring cleaning"):
    ...     db.users.delete("ben")
    User(id='ben', age=25)
    """
    return _Attributed(Attribution(actor, note, via))


def merged(outer: Attribution | None, inner: Attribution) -> Attribution:
    """Return an attribution with the members of the inner one, and of the outer one where that has none."""
    if outer is None:
        return inner
    given = {name: value for name in ("actor", "note", "via") if (value := getattr(inner, name)) is not None}
    return replace(outer, **given)
