"""Bring e-mail addresses into the one form in which they are stored and compared."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

# Longer than any address; what is typed into a login form can be a megabyte.
MAX_EMAIL = 320


def canonical_email(address: str) -> str:
    """Return the address as it is stored: normalised, in lower case.

    What is no valid address is brought into lower case only: it equals nothing that could be registered.
    """
    if len(address) > MAX_EMAIL:
        return address.lower()
    try:
        address = validate_email(address.strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        address = unicodedata.normalize("NFC", address.strip())
    return address.lower()
