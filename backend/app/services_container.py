"""Everything a running backend owns: the database, the blobs beside it, the pools; opened and closed in order."""

import asyncio
import logging
import tempfile
from datetime import timedelta
from pathlib import Path

from app.files.blobs import Blobs
from app.files.page_counter import PageCounter
from app.legacy_import import BLOB_DIRECTORY
from app.security.login_limits import LoginLimits
from app.security.passwords import Passwords
from app.services import documents
from app.services.accounts import Accounts
from app.services.uploads import Uploads
from app.settings import Settings
from app.tables import Library
from snaptable import SnaptableError, WriteFailed

TEND_SECONDS = 5.0

logger = logging.getLogger("app")


class Services:
    """Be the parts that requests use."""

    accounts: Accounts
    blobs: Blobs
    uploads: Uploads

    def __init__(self, settings: Settings) -> None:
        """Do no I/O yet."""
        self.settings = settings
        self.db = Library(settings.data_dir, fsync=settings.fsync, snapshot=settings.snapshot)
        self._passwords: Passwords | None = None
        self._pages: PageCounter | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> None:
        """Open the database, then what stands beside it; does nothing when open.

        Raises:
            OpenError: the database can't be opened.
            OSError: the directory of the blobs can't be used.
        """
        if self._passwords is not None:
            return
        self.db.open()
        try:
            self.blobs = self._open_blobs()
        except BaseException:
            self.db.close()
            raise
        settings = self.settings
        self._passwords = Passwords(
            memory_kib=settings.argon2_memory,
            passes=settings.argon2_passes,
            lanes=settings.argon2_lanes,
            workers=settings.password_workers,
        )
        self._pages = PageCounter(settings.pdf_workers, settings.pdf_seconds)
        self.uploads = Uploads(self.db, self.blobs, self._pages, settings.max_upload)
        self.accounts = Accounts(self.db, self._passwords, _attempts(settings), timedelta(hours=settings.session_hours))

    async def tend(self) -> None:
        """Try, as long as it runs, to make writes work again after a failed sync: a new snapshot in a new file does."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            if not self.db.status().writable:
                try:
                    await asyncio.to_thread(self.db.persist)
                except SnaptableError as error:
                    logger.warning("Writes are still refused: %s", error)
                else:
                    logger.warning("Writes work again.")

    async def close(self) -> None:
        """Finish what is being written, then write the last snapshot."""
        if self._passwords is None or self._pages is None:
            return
        await self.uploads.close()
        await self._pages.close()
        self.shut()

    def shut(self) -> None:
        """Close all that needs no event loop; what is left to do when the server never came up."""
        if self._passwords is not None:
            self._passwords.close()
            self._passwords = None
            try:
                self.db.close()
            except WriteFailed as error:
                # Nothing is lost, and nobody is left to be told otherwise.
                logger.error("%s", error)  # noqa: TRY400  # a reason, not a defect to be traced
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _open_blobs(self) -> Blobs:
        """Open the blobs beside the database and remove what a crash left there."""
        directory = self.db.directory
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="backend-")
            directory = Path(self._temporary.name)
        blobs = Blobs(
            directory / BLOB_DIRECTORY, lambda sha256: documents.is_named(self.db, sha256), fsync=self.settings.fsync
        )
        blobs.sweep(any_named=self.db.documents.where().exists())
        return blobs


def _attempts(settings: Settings) -> LoginLimits:
    """Make the limits from the settings."""
    return LoginLimits(
        failures=settings.login_failures,
        window=settings.login_window,
        address_failures=settings.login_address_failures,
        registrations=settings.registrations,
    )
