"""Removing what deleted accounts leave, in slices so small that no request waits for long.

`users.close_account` marks the user, in one commit; from then on no login succeeds, and nothing of theirs is shown. The
rows go in commits of some hundred, the user last; bytes stay as long as history names them. So a crash between any two
leaves a marked user, with whom the next start goes on. A deleted document with many rows goes the same way: see
`removed`. Where the settings say so, history forgets the account then: see `forgetting`.
"""

import asyncio
import logging
from collections import deque
from contextlib import ExitStack

from app.files.blobs import Blobs
from app.library import Library
from app.services import forgetting, quotas
from app.tables import Annotation, Document, Extraction, Session, User
from snaptable import SnaptableError

SLICE = 100
"""Rows that go in one commit: 2 ms of the event loop."""
DOCUMENTS = 10
"""Documents that go in one commit; each is a file to remove, too."""
RETRY_SECONDS = 5.0
"""Pause after a store that takes no writes, or a disk that failed."""

logger = logging.getLogger("app")


class Erasure:
    """The task that removes what belongs to deleted accounts."""

    def __init__(self, db: Library, blobs: Blobs, *, purge: bool = False) -> None:
        """Find the accounts whose removal was begun before; O(users).

        Args:
            db: whose rows.
            blobs: the bytes of documents.
            purge: whether accounts that are gone are erased from history, too.
        """
        self._purge = purge
        self._has_purged = False
        """Whether history was looked through since an account was gone last."""
        self._db = db
        self._blobs = blobs
        self._pending: deque[str] = deque()
        self._is_wanted = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        """That which `run` runs on."""
        if not db.is_on_server:  # there one of several processes looks, now and then
            self.look()

    def look(self) -> None:
        """Find the accounts whose removal was begun, by this process or another that has ended; O(users)."""
        for user in self._db.users.where(User.deleted_at != None).all():  # noqa: E711
            self.begin(user.id)
        if self._purge and not self._has_purged:
            self._wake()

    def begin(self, user_id: str) -> None:
        """Remove what belongs to a user who is marked as deleted, or will be by the open transaction; in any thread."""
        if user_id not in self._pending:
            self._pending.append(user_id)
        self._wake()

    def _wake(self) -> None:
        if self._loop is None or not self._db.is_on_server:
            self._is_wanted.set()
        else:
            self._loop.call_soon_threadsafe(self._is_wanted.set)

    async def run(self) -> None:
        """Remove for ever what there is to remove."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._is_wanted.wait()
            try:
                await self.finish()
            except (SnaptableError, OSError) as error:
                logger.warning("What a deleted account left can't be removed yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._is_wanted.set()

    async def finish(self) -> None:
        """Remove all there is to remove.

        Raises:
            SnaptableError: the store takes no writes; what is left is removed when this is called again.
            OSError: a file could not be removed; likewise.
        """
        self._is_wanted.clear()
        while self._pending:
            user_id = self._pending.popleft()
            try:
                is_gone = await self._remove_some(user_id)
            except BaseException:
                self._pending.appendleft(user_id)
                raise
            if not is_gone:
                self._pending.append(user_id)  # accounts in turn: a large one keeps none waiting
            self._has_purged = False
            await asyncio.sleep(0)  # a commit that needs no sync never waits
        if self._purge and not self._has_purged:
            await self._forget()

    async def _forget(self) -> None:
        """Erase from history the accounts that are gone, one after another, beside the event loop."""
        self._has_purged = True
        try:
            for user_id in await asyncio.to_thread(forgetting.pending, self._db):
                await asyncio.to_thread(forgetting.forget, self._db, self._blobs, user_id)
        except BaseException:
            self._has_purged = False
            raise

    async def _remove_some(self, user_id: str) -> bool:
        """Remove a slice of a user's rows, and return whether nothing is left to remove."""
        removed = await self._db.run(_remove_slice, user_id)
        if removed != 0:
            return removed is None
        documents = await self._db.read(_some_documents, user_id)
        for document in documents:
            if await self._db.run(_remove_marks, document.id):
                return False
        if not documents:
            return await self._db.run(_remove_user, user_id)
        names = {document.sha256 for document in documents}
        with ExitStack() as pins:
            # Pinned until the outcome is known, as for the deletion of one document.
            for name in names:
                pins.enter_context(self._blobs.pinned(name))
            await self._db.run(_remove_documents, [document.id for document in documents])
            for name in names:
                await self._blobs.aside(self._blobs.release, name)
        return False


def _remove_slice(db: Library, user_id: str) -> int | None:
    """Remove some of the user's rows, and return how many; None if an admin has taken the deletion back."""
    user = db.users.get(user_id)
    return None if user is not None and user.deleted_at is None else _remove_rows(db, user_id)


def _some_documents(db: Library, user_id: str) -> list[Document]:
    return db.documents.where(Document.user_id == user_id).limit(DOCUMENTS).all()


def _remove_rows(db: Library, user_id: str) -> int:
    """Remove some of the user's rows that nothing refers to, and return how many."""
    return (
        db.annotations.where(Annotation.user_id == user_id).limit(SLICE).delete()
        or db.extractions.where(Extraction.user_id == user_id).limit(SLICE).delete()
        or db.sessions.where(Session.user_id == user_id).limit(SLICE).delete()
    )


def _remove_marks(db: Library, document_id: str) -> int:
    """Remove some of the rows on a document that was handed over, whose users still count them; return how many."""
    annotations = db.annotations.where(Annotation.document_id == document_id).limit(SLICE).all()
    quotas.delete_handed_over(db, db.annotations, annotations)
    extractions = db.extractions.where(Extraction.document_id == document_id).limit(SLICE - len(annotations)).all()
    quotas.delete_handed_over(db, db.extractions, extractions)
    return len(annotations) + len(extractions)


def _remove_documents(db: Library, keys: list[str]) -> None:
    for key in keys:
        if key in db.documents:
            db.documents.delete(key)


def _remove_user(db: Library, user_id: str) -> bool:
    """Remove the user, unless a request that was under way has added something meanwhile."""
    if db.documents.where(Document.user_id == user_id).exists():
        return False
    if user_id in db.users:
        db.users.delete(user_id)
    quotas.forget(db, user_id)
    return True
