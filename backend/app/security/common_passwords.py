"""Passwords that are tried first: the commonest ones, patterns of keys, words of the account itself.

`common_passwords.txt.gz`, beside this module, holds the 3,000 commonest passwords that are long enough to be allowed;
its head names the source and the licence.
"""

import gzip
import re
import unicodedata
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("common_passwords.txt.gz")
SERVICE = ("snaptable", "services", "backend")
"""What this service calls itself."""
ROWS = (
    "0123456789" * 2,
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
)
"""Characters that stand side by side: in the alphabet, or on a keyboard."""
LONGEST_PATTERN = 4
"""Characters of a pattern that a password must not merely repeat."""
LEAST_REST = 4
"""Characters that a password needs besides words of the account and the service."""


def reason_to_refuse(password: str, email: str) -> str | None:
    """Return why a password is too easily guessed, as a sentence that does not repeat it; None if it isn't.

    Args:
        password: in clear.
        email: of the account, in canonical form.
    """
    folded = unicodedata.normalize("NFKC", password).casefold()
    if not any(character.isprintable() and not character.isspace() for character in folded):
        return "A password needs more than blanks."
    if folded in _commonest():
        return "This is one of the commonest passwords; choose another one."
    if _is_pattern(folded):
        return "This repeats a few characters, or runs along the alphabet or a keyboard; choose another one."
    if _is_made_of(folded, [*SERVICE, *_words_of(email)]):
        return "This is little more than your address or the name of this service; choose another one."
    return None


@cache
def _commonest() -> frozenset[str]:
    """Return the list; read once."""
    lines = gzip.decompress(LIST.read_bytes()).decode("ascii").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _is_pattern(text: str) -> bool:
    """Return whether a text repeats some characters, or follows a row of them, forward or backward."""
    for length in range(1, LONGEST_PATTERN + 1):
        if text == (text[:length] * len(text))[: len(text)]:
            return True
    return any(text in row or text[::-1] in row for row in ROWS)


def _words_of(email: str) -> list[str]:
    """Return the address and its parts."""
    local, _, domain = email.casefold().partition("@")
    return [email.casefold(), local, domain, *re.split(r"[^\w]+", local), *domain.split(".")]


def _is_made_of(text: str, words: list[str]) -> bool:
    """Return whether little is left of a text without these words."""
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= LEAST_REST:
            text = text.replace(word, "")
    return sum(character.isalnum() for character in text) < LEAST_REST
