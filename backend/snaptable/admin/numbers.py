"""Whole numbers that a browser sends as text."""


def number_in(text: str, digits: int = 18) -> int | None:
    """Return the number that a text spells in digits alone; None for any other text, and one of too many digits.

    `int` would take signs, spaces and digits of other scripts too, and refuse texts of thousands of digits by an error.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None
