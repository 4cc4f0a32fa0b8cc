"""The parameters of requests that are not a list's own, among them `at`: the rows as they were."""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime

from fastapi import Request

from snaptable import Database, HistoryError, HistoryGone, TableSchema
from snaptable.web.crud.shown_rows import Tables
from snaptable.web.problems import FieldError, Problem, pointer_to

MAX_SEQUENCE_DIGITS = 18


def parameters(request: Request, names: Collection[str]) -> dict[str, str]:
    """Return the query parameters of a request that isn't for a list.

    Raises:
        Problem: 422, one that isn't known, comes twice, or is empty.
    """
    if not request.scope["query_string"]:
        return {}
    given: dict[str, str] = {}
    errors = []
    for name, text in request.query_params.multi_items():
        if name not in names:
            errors.append(FieldError(pointer_to(name), "There is no such parameter.", "query"))
        elif name in given or not text:
            errors.append(FieldError(pointer_to(name), "This parameter is empty, or given twice.", "query"))
        else:
            given[name] = text
    if errors:
        raise Problem.invalid(*errors)
    return given


def flag(given: dict[str, str], name: str) -> bool:
    """Return a parameter that is true or false; false if it was not sent.

    Raises:
        Problem: 422, it is neither.
    """
    text = given.get(name, "false")
    if text not in ("true", "false"):
        raise Problem.invalid(FieldError(f"/{name}", "This must be true or false.", "query"))
    return text == "true"


def moment_of(text: str) -> int | datetime:
    """Return the moment that a text names: a sequence, or a time with an offset.

    Raises:
        ValueError: it names neither.
    """
    if text.isascii() and text.removeprefix("-").isdigit() and len(text) <= MAX_SEQUENCE_DIGITS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus in an address that was not escaped
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise ValueError("This must be a commit's number, or a time with its offset, as in 2026-11-28T10:00:00Z.")
    return moment


def state(database: Database, schema: TableSchema, at: str | None) -> AbstractContextManager[Tables]:
    """Return a context that gives the tables of the present, or as they were at a moment.

    Raises:
        Problem: on entering: 422, there is, or was, no such moment; 410, it is not kept any more.
    """
    return nullcontext(database.tables) if at is None else _past_state(database, schema, at)


@contextmanager
def _past_state(database: Database, schema: TableSchema, at: str) -> Iterator[Tables]:
    if schema.transient:
        raise Problem.invalid(FieldError("/at", "These rows have no past.", "query"))
    with past_errors("/at", "query"):
        past = database.history.at(moment_of(at))
    try:
        yield past.tables
    finally:
        past.close()


@contextmanager
def past_errors(pointer: str, where: str) -> Iterator[None]:
    """Answer what is wrong with a moment.

    Raises:
        Problem: 422, there is, or was, no such moment; 410, it is not kept any more.
    """
    try:
        yield
    except HistoryGone as error:
        detail = "That moment is not kept any more."
        raise Problem(410, detail, members={} if error.first is None else {"first": error.first}) from None
    except HistoryError:
        raise Problem(410, "The rows of that moment can't be shown any more.") from None
    except ValueError as error:
        raise Problem.invalid(FieldError(pointer, str(error), where)) from None
