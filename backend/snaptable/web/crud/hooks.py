"""What an application does where its router reads and writes."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic

from fastapi import Request
from starlette.responses import Response

from snaptable import Query
from snaptable.web.listing import Listing, RowT


@dataclass(frozen=True)
class Hooks(Generic[RowT]):
    """What an application does where a router writes: to count quotas, to check what no constraint says, to add rows.

    Attributes:
        read: awaited in the place of `db.read`, for a row or a list, with the caller, the request, and what makes the
            answer of one state's rows, in a thread or wherever it likes: for a cache. It answers If-None-Match too.
        prepare: awaited with the caller before the transaction: for what takes long, or waits.
        write_lock: gives the context in which a transaction that writes is carried out, called with the caller: so that
            those that would be in each other's way follow each other.
        create: adds a row, called with the caller and all its values; in the place of `table.create(**values)`.
        update: changes a row, called with the caller, the row as it is, and what is to change.
        delete: deletes a row, called with the caller and the row.
        find: says of a row that was found by its key whether it is there for the caller; else it is a 404.
        list: narrows a list, called with the caller, the query for what they may see, and what was asked for.
        slow: gives the context in which a list is made that takes long, in a thread: a queue, for example.

    `create`, `update` and `delete` are called in the transaction, after the rules and conditions that come before the
    write; they return the row, and what they raise undoes all. They hold for every verb, bulk too. `find` and `list`
    are for what depends on more than the row: rules hold inside of other tables' rows and in feeds as well. What a hook
    raises is the answer: a `Problem`, or an error that the application has a handler for.

    >>> from snaptable.web import Problem
    >>> def create(me, values):
    ...     if db.users.count() >= 1_000:
    ...         raise Problem(507, "There are as many as this shop serves.")
    ...     return db.users.create(**values)
    >>> Hooks(create=create).prepare is None
    True
    """

    read: Callable[[Any, Request, Callable[[], Response]], Awaitable[Response]] | None = None
    prepare: Callable[[Any], Awaitable[object]] | None = None
    write_lock: Callable[[Any], AbstractAsyncContextManager[object]] | None = None
    create: Callable[[Any, dict[str, Any]], RowT] | None = None
    update: Callable[[Any, RowT, dict[str, Any]], RowT] | None = None
    delete: Callable[[Any, RowT], RowT] | None = None
    find: Callable[[Any, RowT], bool] | None = None
    list: Callable[[Any, Query[RowT], Listing[RowT]], Query[RowT]] | None = None
    slow: Callable[[Any], AbstractAsyncContextManager[object]] | None = None
