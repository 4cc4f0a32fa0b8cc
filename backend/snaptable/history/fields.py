"""Rows of the past as JSON objects, compared by what they say."""

import json
from collections.abc import Mapping

Fields = dict[str, object]
"""A row as a JSON object."""
_ATOMS = frozenset((str, int, bool, type(None)))
"""Types whose equal values are written alike."""


def differing(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Return the names of the fields that only one of two rows has, or that say something else there; O(fields)."""
    names = dict.fromkeys((*old, *new))
    return [name for name in names if (name in old) != (name in new) or not same_json(old[name], new[name])]


def same_json(first: object, second: object) -> bool:
    """Return whether two parsed JSON values are the same: 1, 1.0 and true are three values."""
    if first is second:
        return True
    kind = type(first)
    if kind is not type(second):
        return False
    if kind in _ATOMS:
        return first == second
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
