"""The past: what was committed, by whom, how it was before, and the way back.

`Database.history` is a `History`. Everything here is worked out from the commits that an engine remembers, each of
which says what there was before it; no state but the present one is stored. Going back n commits costs n, not the size
of the data.

    moments   a sequence or a time, as a sequence
    rewind    what rows were at an earlier commit
    net_changes, fields   what happened to rows all in all, and what differs in one
    lifting   the same through today's models, over migrations
    three_way a change taken back, or merged, beside later ones
    revert    undo, restore and merge, in one transaction
    timeline  the states along the commits, and the steps between them
    states    whole states, compared
    records   Commit, Change, Diff, Revert: what people are shown
    purge     values erased from all of the past
    lives     which changes are of one row, from its insertion to its deletion
    feed      commits as they become durable
    places    a sequence that names its history too, to come back to
"""

from snaptable.errors import Conflict
from snaptable.history.feed import Feed
from snaptable.history.history import History
from snaptable.history.moments import Moment
from snaptable.history.purge import Purged, Remainder
from snaptable.history.records import Change, Commit, Diff, Revert

__all__ = ["Change", "Commit", "Conflict", "Diff", "Feed", "History", "Moment", "Purged", "Remainder", "Revert"]
