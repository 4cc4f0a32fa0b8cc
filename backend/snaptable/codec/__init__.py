"""Rows to JSON and back: validated whole, encoded once, and refused if they would not come back equal."""

from snaptable.codec.row_codec import Codec, FieldValues

__all__ = ["Codec", "FieldValues"]
