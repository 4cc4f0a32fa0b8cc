"""Erasing deleted accounts from history, where the settings say so: from every commit, every file, and their bytes.

`Erasure` removes the rows of an account; history keeps them, so that an admin can take the deletion back. With
`purge_deleted_accounts` each account whose rows are gone is purged (`History.purge`): its user, and all that referred
to it with "cascade", in whatever commit. Which accounts are left to be purged, history says, so that a crash forgets
none: a deleted account is a user who went with the mark of a deletion, and whose deletion was not purged yet. What an
account was holding for it (see `removed`) goes with it.

A purge writes the files of the journal anew that have the rows. It runs in a thread, beside the event loop.
"""

import logging
from collections.abc import Set
from dataclasses import dataclass

from app.files.blobs import Blobs
from app.library import Library
from app.services import documents, removed
from snaptable import attribution
from snaptable.history import Purged

MOST_LEFT = 20
"""Places of a receipt that are logged."""

logger = logging.getLogger("app.security")


@dataclass(frozen=True)
class Forgotten:
    """An account that was purged.

    Attributes:
        user_id: its id.
        receipt: what was erased, and where values still stand.
        blobs: how many documents' bytes were removed.
    """

    user_id: str
    receipt: Purged
    blobs: int


def pending(db: Library) -> list[str]:
    """Return the keys of deleted accounts, and of what was held for them, that history still names; O(commits)."""
    keys: list[str] = []
    seen: set[object] = set()
    for commit in db.history.commits("users"):
        for change in commit.changes:
            if change.table != "users" or change.key in seen:
                continue
            seen.add(change.key)  # the newest change says whether it is gone, or was put back
            was = change.before
            if change.kind == "delete" and was is not None and was.get("deleted_at") is not None:
                key, owner = str(change.key), removed.owner_of(str(was.get("email")))
                if key not in db.users and (owner is None or owner not in db.users):
                    keys.append(key)
    return keys


def forget(db: Library, blobs: Blobs, user_id: str) -> Forgotten:
    """Purge an account whose rows are gone, remove the bytes that nothing names any more, and log the receipt.

    O(rows + commits); to be called in a thread. If it is interrupted, `pending` names the account again, or the bytes
    go at the next start.

    Raises:
        WriteFailed: not all of it could be written; call it again.
        SnaptableError: the store takes no writes.
        OSError: bytes could not be removed; the next sweep does.
    """
    names = documents.names_of(db, user_id)
    with attribution(actor=user_id, via="account deletion"):
        receipt = db.history.purge("users", user_id)

    def named(candidates: Set[str]) -> Set[str]:
        own = candidates & names
        return (candidates - own) | (documents.named_in_history(db, own) if own else set())

    removed_count = blobs.sweep(any_referenced=True, named=named) if names else 0
    forgotten = Forgotten(user_id, receipt, removed_count)
    _log(forgotten)
    return forgotten


def _log(forgotten: Forgotten) -> None:
    """Write the receipt: what was purged, and where values are left; no value itself."""
    receipt = forgotten.receipt
    rows = ",".join(f"{table}:{count}" for table, count in receipt.rows.items())
    logger.info(
        "account purged account=%s rows=%s commits=%d blobs=%d left=%d",
        forgotten.user_id, rows, receipt.frames, forgotten.blobs, len(receipt.left),
    )  # fmt: skip
    for place in receipt.left[:MOST_LEFT]:
        logger.warning("account purged account=%s left=%s", forgotten.user_id, place)
