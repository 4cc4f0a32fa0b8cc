"""What conditions and orders are made with, as users write them. They say what is wanted and evaluate nothing.

What they are made of is in `columns`.
"""

from collections.abc import Iterable
from typing import TypeVar, cast, overload

from snaptable.conditions.columns import INSERTED, LISTED_CHOICES, Column, GroupValue, column_of
from snaptable.conditions.predicates import Condition, Order
from snaptable.errors import InvalidQuery
from snaptable.values import value_types

T = TypeVar("T")


def one_of(column: T, values: Iterable[T]) -> bool:
    """Return the condition that a column equals one of some values; answered by an index on the column, if any.

    Args:
        column: as in `User.age`.
        values: taken once; none makes a condition that never holds, and None among them is equal to None.

    Raises:
        InvalidQuery: a value of another type than the column's.

    >>> db.users.where(one_of(User.age, [25, 26])).all()
    [User(id='ben', age=25)]
    """
    target, chosen = _column(column), tuple(values)
    for value in chosen:
        if type(value) not in target.exact_types:
            target._check_choice(value)
    return Condition(target.terms["in"], (chosen,))  # type: ignore[return-value]


@overload
def contains(column: str | None, item: str, *, ignore_case: bool) -> bool: ...
@overload
def contains(column: "Iterable[T] | None", item: T) -> bool: ...
def contains(column: object, item: object, *, ignore_case: bool = False) -> bool:
    """Return the condition that a list, set, tuple or str column contains an item; None contains nothing.

    Of a str column, that the item is a part of the text, case and all, unless `ignore_case`. By `Index(each=True)` it
    costs O(1) plus the rows that contain the item, else O(rows looked at).

    Args:
        column: as in `User.id`.
        item: one item, or a part of the text.
        ignore_case: of a str column only: whether text is compared by `str.casefold`, row by row.

    Raises:
        InvalidQuery: the column holds neither texts nor collections, or no items of this type.

    >>> db.users.where(contains(User.id, "nn")).all()
    [User(id='ann', age=31)]
    >>> db.users.where(contains(User.id, "NN", ignore_case=True)).all()
    [User(id='ann', age=31)]
    """
    target = _column(column)
    if ignore_case:
        return _ignoring_case(target, "contains", item)
    classes = [kind for kind in target.types or () if kind is not type(None)]
    inner = value_types.element(target.annotation)
    if classes and all(issubclass(kind, str) for kind in classes):
        inner = str
    elif target.is_mixed:
        inner = None
    elif classes and not all(issubclass(kind, (list, set, frozenset, tuple, dict)) for kind in classes):
        raise InvalidQuery(f"{target!r} holds {classes[0].__name__}, which contains nothing")
    if inner is not None and (
        (item is None and not value_types.is_optional(inner))
        or not value_types.accepts(value_types.value_types(inner), item)
    ):
        raise InvalidQuery(f"{target!r} can't contain a {type(item).__name__}")
    held = None if inner is None else value_types.choices(inner)
    if held is not None and item is not None and item not in held:
        raise InvalidQuery(f"{target!r} holds {', '.join(map(repr, held[:LISTED_CHOICES]))}; never this item")
    return Condition(target.terms["contains"], (item,))  # type: ignore[return-value]


def starts_with(column: str | None, text: str, *, ignore_case: bool = False) -> bool:
    """Return the condition that a str column begins with a text; None begins with nothing.

    By an ordered index it costs O(log n) plus the rows given, else O(rows looked at).

    Args:
        column: as in `User.id`.
        text: "" for every text.
        ignore_case: whether text is compared by `str.casefold`, row by row.

    Raises:
        InvalidQuery: the column holds no text, or `text` is not a str.

    >>> db.users.where(starts_with(User.id, "b")).all()
    [User(id='ben', age=25)]
    """
    target = _column(column)
    if not isinstance(text, str):
        raise InvalidQuery(f"starts_with takes a text, not a {type(text).__name__}")
    if ignore_case:
        return _ignoring_case(target, "starts with", text)
    if target.types is not None and str not in target.types:
        raise InvalidQuery(f"{target!r} holds no text")
    return Condition(target.terms["starts with"], (text,))  # type: ignore[return-value]


def _ignoring_case(column: Column, operator: str, text: object) -> bool:
    if not isinstance(text, str):
        raise InvalidQuery(f"{column!r} can't contain a {type(text).__name__}")
    if str not in (column.types or (str,)):
        raise InvalidQuery(f"{column!r} holds no text, which is all that has upper and lower case")
    return Condition(column.terms[f"{operator} ignoring case"], (text,))  # type: ignore[return-value]


def _column(value: object) -> Column:
    column = column_of(value)
    if column is None:
        raise InvalidQuery(f"expected a column, as in User.email; got a {type(value).__name__}")
    return column


# ── orderings ───────────────────────────────────────────────────────────────────────────────────────────────────────


def desc(column: object) -> Order:
    """Return the ordering from the greatest to the least, None last; text by code point.

    Raises:
        InvalidQuery: the column's values have no order, or it is not a column.

    >>> db.users.order_by(desc(User.age)).all()
    [User(id='ann', age=31), User(id='ben', age=25)]
    """
    return as_order(column, descending=True)


def asc(column: object) -> Order:
    """Return the ordering from the least to the greatest, None last; text by code point. What a bare column means.

    Raises:
        InvalidQuery: the column's values have no order, or it is not a column.

    >>> db.users.order_by(asc(User.age)).all()
    [User(id='ben', age=25), User(id='ann', age=31)]
    """
    return as_order(column, descending=False)


def is_orderable(column: object) -> bool:
    """Return whether rows can be ordered by something: it is a column, and its values have an order."""
    try:
        as_order(column)
    except InvalidQuery:
        return False
    return True


def as_order(column: object, *, descending: bool = False) -> Order:
    """Return a column, or an ordering as it is, as an ordering.

    Raises:
        InvalidQuery: it is neither, or the column's values have no order.
    """
    if isinstance(column, Order):
        return column
    if column is INSERTED:
        return INSERTED.orders[descending]
    if isinstance(column, GroupValue):
        return Order(cast(Column, column), descending=descending)
    target = column if type(column) is Column else _column(column)
    try:
        _ = target.sort_key
    except TypeError as error:
        raise InvalidQuery(f"can't sort by {target!r}: {error}") from None
    return target.orders[descending]


def inserted() -> object:
    """Return what to sort by for the order of the file, in which rows were inserted; `desc(inserted())` reverses it.

    Without conditions it costs nothing, in both directions; else O(rows of the table) once after a write, and sorting.
    It can't order pages: a place is nothing that a cursor could name.

    >>> db.users.order_by(desc(inserted())).all()
    [User(id='ben', age=25), User(id='ann', age=31)]
    """
    return INSERTED
