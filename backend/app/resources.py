"""What a running backend owns: the database, the blobs beside it, the pools; opened and closed in order."""

import asyncio
import json
import logging
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from app.cache import Cache, RedisStore, Store
from app.files.blobs import Blobs
from app.files.page_counter import PageCounter
from app.files.shared_blobs import SharedBlobs
from app.library import Library
from app.place import ALONE, Place
from app.security.events import SecurityEvents
from app.security.fair_queue import FairQueue
from app.security.login_limits import LoginLimits
from app.security.passwords import Passwords, bcrypt_cost_of
from app.services import documents
from app.services.accounts import AccountResources
from app.services.backups import Backups, BackupTerms
from app.services.erasure import Erasure
from app.services.sessions import SessionTerms
from app.services.uploads import UploadResources
from app.settings import Settings
from app.shared.blob_uses import SharedBlobUses
from app.shared.counts import SharedCounts
from app.shared.lease import Lease
from app.tables import Annotation, Document, Extraction
from app.usage import Limits
from snaptable import PostgresOptions, SnaptableError, WriteFailed
from snaptable.backup import Keep
from snaptable.engines import Filesystem
from snaptable.storage.disk.files import Files, resolve

RETRY_SECONDS = 5.0
"""Pause between two attempts to make writes work again."""
SWEEP_SECONDS = 60.0
"""Pause between two looks whether history names less than before, so that bytes can go with it."""

RENEWAL_SECONDS = 3.0
"""Pause between two renewals of the lease."""
LOOK_SECONDS = 15.0
"""Pause between two looks for what other processes left behind when they ended."""
CONNECTIONS, LEAST_CONNECTIONS = 16, 4
"""To a server: of all processes together, and of one at least."""

SORTING_PATIENCE = 10.0
"""Seconds that a list waits to be sorted, before it is answered 503."""

logger = logging.getLogger("app")


class Resources:
    """The database and the parts beside it that requests use; those declared here are there once it is open."""

    accounts: AccountResources
    uploads: UploadResources
    erasure: Erasure
    cache: Cache | None = None
    """None if the settings name none."""
    backups: Backups | None
    """None if the settings name no folder for them."""

    def __init__(self, settings: Settings, filesystem: Filesystem = Files) -> None:
        """Take the settings, and what gives the disk for the directory; no I/O is done yet."""
        self.settings = settings
        self.place: Place = ALONE
        """Which of the processes this one is; set before it opens."""
        self.db = Library(
            settings.database_url or settings.data_dir,
            fsync=settings.fsync,
            snapshot=settings.snapshot,
            filesystem=filesystem,
            postgres=PostgresOptions(
                pool_size=max(LEAST_CONNECTIONS, CONNECTIONS // settings.workers),
                revisions="user_id" if settings.cache_url else None,
            ),
        )
        self.db.limits = Limits(
            documents=settings.quota_documents,
            document_bytes=settings.quota_document_bytes,
            marks=settings.quota_marks,
            row_bytes=settings.quota_row_bytes,
            json_bytes=settings.json_bytes,
        )
        self.sorting = FairQueue(1, waiting=64, patience=SORTING_PATIENCE)
        """The place to sort a long list in, beside the event loop."""
        self._filesystem = filesystem
        self._is_open = False
        self._swept = (0, 0)
        """What `_kept_history` was when the blobs were looked through last."""
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lease: Lease | None = None
        """Who does what one process does for all; None where this process is alone."""
        self._leads = True
        """Whether this process does."""

    def open(self) -> None:
        """Open the database, then what stands beside it; do nothing if it is open.

        Raises:
            OpenError: the database can't be opened.
            OSError: the folder of the blobs, or of the backups, can't be used.
            BackupError: backups can't be made as the settings say.
        """
        if self._is_open:
            return
        settings = self.settings
        store = RedisStore(settings.cache_url) if settings.cache_url else None
        self.db.open()
        try:
            blobs = self._open_blobs()
            self.backups = Backups(self.db, blobs, _backup_terms(settings)) if settings.backup_dir else None
        except BaseException:
            self.db.close()
            raise
        pages = PageCounter(
            self.place.share_of(settings.pdf_workers), settings.pdf_seconds, patience=settings.pdf_patience
        )
        self.uploads = UploadResources(blobs, pages, settings.max_upload)
        self.accounts = AccountResources(
            self._passwords(), _login_limits(settings, self.db), _session_terms(settings), SecurityEvents()
        )
        self.erasure = Erasure(self.db, blobs, purge=settings.purge_deleted_accounts)
        if self._lease is not None and self._leads:
            self.erasure.look()
        self.cache = _cache(settings, self.db, store)
        self._is_open = True

    def _open_blobs(self) -> Blobs:
        """Open the blobs beside the database and remove what a crash left there."""
        directory = self.db.directory
        if self.db.is_on_server and self.settings.data_dir != "memory:":
            directory = resolve(self.settings.data_dir)
            self._filesystem(directory, fsync=self.settings.fsync).make_directory()
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="backend-")
            directory = Path(self._temporary.name)
        files = self._filesystem(directory, fsync=self.settings.fsync)
        blobs = self._shared_blobs(files) if self.db.is_on_server else self._own_blobs(files)
        if self._leads:
            blobs.remove_temporary()
            self._sweep(blobs)
        return blobs

    def _own_blobs(self, files: Files) -> Blobs:
        return Blobs(files, partial(documents.is_referenced, self.db), self.settings.keep_deleted_bytes)

    def _shared_blobs(self, files: Files) -> Blobs:
        """Return the blobs, as far as other processes let them; make the tables that are shared with these."""
        shared = self.db.shared
        assert shared is not None  # the rows are on a server
        shared.make()
        self._lease = Lease(shared, "tending")
        self._leads = self._lease.take()
        return SharedBlobs(files, SharedBlobUses(shared), self.settings.keep_deleted_bytes)

    def _sweep(self, blobs: Blobs) -> None:
        """Remove the bytes that neither a document nor history names any more."""
        self._swept = self._kept_history()
        blobs.sweep(
            any_referenced=self.db.documents.where().exists(),
            named=lambda names: documents.named_in_history(self.db, names),
        )

    def _kept_history(self) -> tuple[int, int]:
        """Return what changes when history comes to name less: where it begins, and up to where rows were purged."""
        history = self.db.status().history
        return (0, 0) if history is None else (history.first, history.purged)

    async def _collect_blobs(self) -> None:
        """Remove for ever, beside the event loop, the bytes that history stops to name."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                if self._leads and await self.db.read(lambda _: self._kept_history()) != self._swept:
                    await asyncio.to_thread(self._sweep, self.uploads.blobs)
            except (SnaptableError, OSError) as error:
                logger.warning("Bytes that nothing names can't be removed yet: %s", error)

    async def tend(self) -> None:
        """Do for ever what no request asks for: make writes work again, remove what deleted accounts left, back up."""
        await asyncio.gather(
            *([self._retry_writes()] if self._lease is None else [self._keep_lease(self._lease)]),
            self._collect_blobs(),
            self.erasure.run(),
            *([self.backups.run()] if self.backups is not None else []),
        )

    async def _keep_lease(self, lease: Lease) -> None:
        """Be for ever the one process that looks after what all share, or look whether that one has ended."""
        shared, due = self.db.shared, 0.0
        assert shared is not None
        while True:
            try:
                self._leads = await asyncio.to_thread(lease.take)
                if self._leads and time.monotonic() >= due:
                    due = time.monotonic() + LOOK_SECONDS
                    await asyncio.to_thread(self.erasure.look)
                    await asyncio.to_thread(SharedCounts(shared).clear_away)
            except SnaptableError as error:
                self._leads = False
                logger.warning("What one process does for all waits: %s", error)
            await asyncio.sleep(RENEWAL_SECONDS)

    async def _retry_writes(self) -> None:
        """Try for ever, after a failed sync, to make writes work again: a new snapshot in a new file does."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if not self.db.is_open:
                continue  # an admin has it closed and opened again
            try:
                if not self.db.status(details=False).writable:
                    await asyncio.to_thread(self.db.persist)
                    logger.warning("Writes work again.")
            except SnaptableError as error:
                logger.warning("Writes are still refused: %s", error)

    async def close(self) -> None:
        """Finish what is being written, then write the last snapshot."""
        if not self._is_open:
            return
        await self.uploads.finish()
        await self.uploads.pages.close()
        if self.cache is not None:
            await self.cache.close()
        self.close_sync()

    def close_sync(self) -> None:
        """Close all that needs no event loop: all there is, if the server never served."""
        if self._is_open:
            self._is_open = False
            self.accounts.passwords.close()
            self.accounts.events.close()
            self._give_lease_back()
            try:
                self.db.close()
            except WriteFailed as error:
                # Nothing is lost, and there is no caller left to handle it.
                logger.error("%s", error)  # noqa: TRY400  # a reason, not a defect to be traced
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _give_lease_back(self) -> None:
        """Let another process look after what all share."""
        if self._lease is not None and self._leads:
            with suppress(SnaptableError):
                self._lease.give_back()

    def _passwords(self) -> Passwords:
        settings = self.settings
        return Passwords(
            memory_kib=settings.argon2_memory,
            passes=settings.argon2_passes,
            lanes=settings.argon2_lanes,
            workers=self.place.share_of(settings.password_workers),
            patience=settings.password_wait,
            bcrypt_cost=bcrypt_cost_of(user.password_hash for user in self.db.users.where().all()),
        )


def _cache(settings: Settings, db: Library, store: Store | None) -> Cache | None:
    """Return the cache of reads that the settings name; None for none."""
    secret = db.cache_secret
    if store is None or secret is None:
        return None
    shape = json.dumps([model.model_json_schema() for model in (Document, Extraction, Annotation)], sort_keys=True)
    return Cache(store, secret, settings.cache_seconds, shape=shape)


def _backup_terms(settings: Settings) -> BackupTerms:
    keep = Keep(
        last=settings.backup_keep_last,
        daily=settings.backup_keep_daily,
        weekly=settings.backup_keep_weekly,
        monthly=settings.backup_keep_monthly,
    )
    return BackupTerms(settings.backup_dir, settings.backup_period, keep, settings.backup_recipients)


def _session_terms(settings: Settings) -> SessionTerms:
    return SessionTerms(
        lifetime=timedelta(hours=settings.session_hours),
        idle=timedelta(hours=settings.session_idle_hours),
        most=settings.sessions,
    )


def _login_limits(settings: Settings, db: Library) -> LoginLimits:
    shared = db.shared
    return LoginLimits(
        counts=None if shared is None else SharedCounts(shared),
        secret=b"" if shared is None else shared.secret("accounts"),
        failures=settings.login_failures,
        window=settings.login_window,
        address_failures=settings.login_address_failures,
        address_logins=settings.login_address_logins,
        registrations=settings.registrations,
    )
