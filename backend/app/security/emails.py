"""The one form in which e-mail addresses are stored and compared."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

MAX_EMAIL = 320
"""Characters; no address is longer, but what is typed into a login form can be a megabyte."""


def canonical_email(address: str) -> str:
    """Return the address as it is stored: normalised, in lower case.

    What is not a valid address is brought into lower case only: it equals nothing that could be registered.
    """
    if len(address) > MAX_EMAIL:
        return address.lower()
    try:
        address = validate_email(address.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        address = unicodedata.normalize("NFC", address.strip())
    return address.lower()
