"""Whether two values are the same: equal, and of the same type in every part."""

from functools import partial

from pydantic import BaseModel

_PLAIN_TYPES = frozenset({str, int, bool, type(None)})
"""Types of values of which equality says all."""


def same(first: object, second: object, *, strict: bool = False) -> bool:
    """Return whether two values are equal and of the same type in every part: 1 is not True, a list is not a tuple.

    Args:
        first: a value.
        second: another.
        strict: whether the signs of zeros, the order of a dict's keys and the private attributes of models count too.
    """
    exact = type(first)
    if exact is not type(second):
        return False
    if exact in _PLAIN_TYPES:
        return bool(first == second)
    compare = _strictly_same if strict else same
    if isinstance(first, dict) and isinstance(second, dict):
        return (
            len(first) == len(second)
            and all(key in second and compare(value, second[key]) for key, value in first.items())
            and (not strict or list(first) == list(second))
        )
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(compare, first, second))
    if isinstance(first, BaseModel) and isinstance(second, BaseModel):
        return (
            compare(first.__dict__, second.__dict__)
            and compare(first.__pydantic_extra__, second.__pydantic_extra__)
            and (not strict or compare(first.__pydantic_private__, second.__pydantic_private__))
        )
    if strict and isinstance(first, float):
        return repr(first) == repr(second)
    try:
        return bool(first == second)
    except ArithmeticError:
        return False  # a signalling NaN


_strictly_same = partial(same, strict=True)
