"""Values written as JSON arrays whose order says nothing: those of sets."""

import json


def equal_in_any_order(first: object, second: object) -> bool:
    """Return whether two parsed JSON values are equal but for the order of their arrays; O(n log n).

    For fields that hold sets: a set gives its items in an order that depends on how it was made.
    """
    return first == second or _sorted(first) == _sorted(second)


def written_in_any_order(first: object, second: object) -> bool:
    """Return the same, but tell 1 from 1.0, 0.0 from -0.0, and two orders of an object's members; O(n log n)."""
    return json.dumps(_ordered(first)) == json.dumps(_ordered(second))


def _sorted(value: object) -> str:
    """Return the JSON of a value whose arrays are in one certain order."""
    return json.dumps(_ordered(value), sort_keys=True)


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        return {name: _ordered(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted(_sorted(item) for item in value)
    return value
