"""The place in the history at which a list was read: who follows the feed from there misses nothing."""

from snaptable import Database
from snaptable.history.places import Place


def current_place(db: Database) -> str:
    """Return the place that follows all that is durable now, as `4711-9f2c11aa`: what a list gives with its rows.

    Take it before the rows are read: who then follows the feed from there misses nothing. O(1) while feeds are read,
    else it may read a segment of the journal.
    """
    source = db._opened().commits
    return str(Place.behind(source, source.sequence))
