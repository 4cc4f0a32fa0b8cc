"""Names in the database: at most 63 bytes, where PostgreSQL would cut longer ones without a word."""

from functools import lru_cache
from hashlib import blake2b

LONGEST = 63
STATE = "snaptable_state"
COMMITS = "snaptable_commits"
BARRIER = "snaptable_barrier"
SOURCE = "snaptable_source"
REVISIONS = "snaptable_revisions"
RESERVED = frozenset({STATE, COMMITS, BARRIER, SOURCE, REVISIONS})
"""The engine's own tables."""
PLACE = "_place"
"""The hidden column of each table that has the order of insertion."""
EXACT = "_exact"
"""The hidden column with what other columns would not give back as it was."""


@lru_cache(maxsize=4096)
def name_of(*parts: str) -> str:
    """Return parts as one name; one that is too long is cut, with a digest of the whole at its end."""
    name = "_".join(parts)
    if len(name.encode()) <= LONGEST:
        return name
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name.encode()[: LONGEST - 17].decode(errors='ignore')}_{digest}"


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"'
