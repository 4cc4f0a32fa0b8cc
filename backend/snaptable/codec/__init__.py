"""Rows to JSON and back: validated whole, encoded once, and refused if they would not come back equal."""

from snaptable.codec.row_codec import Codec, FieldValues
from snaptable.codec.set_order import sorting

__all__ = ["Codec", "FieldValues", "sorting"]
