"""What the admin page asks the backend: its users, and its backups on their schedule."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from app.library import Library
from app.resources import Resources
from app.services import users
from app.tables import Session, User
from snaptable import utc_now
from snaptable.admin.pages.users import ListedUser


class BackendUsers:
    """The accounts: who is an admin, who is logged in."""

    table = "users"

    def __init__(self, db: Library) -> None:
        """Take where they are."""
        self._db = db
        self.leave_admin_page: Callable[[str], None] = lambda _email: None
        """Ends all sessions of an address in the admin page; set once that is there."""

    def find(self, text: str, skip: int, most: int) -> tuple[Sequence[ListedUser], int]:
        """Return accounts whose address has a text, admins first, and how many there are; O(users)."""
        wanted = text.casefold()
        rows = [row for row in self._db.users if row.deleted_at is None and wanted in row.email.casefold()]
        rows.sort(key=lambda row: (not row.is_admin, row.email))
        return [self._listed(row) for row in rows[skip : skip + most]], len(rows)

    def _listed(self, row: User) -> ListedUser:
        logins = self._db.sessions.where(Session.user_id == row.id, Session.expires_at > utc_now()).count()
        return ListedUser(row.id, row.email, row.is_admin, logins, row.created_at)

    def set_admin(self, key: str, *, is_admin: bool) -> str | None:
        """Make a user an admin, or one no longer; the last one stays. Return why not."""
        with self._db.transaction():
            user = self._db.users.get(key)
            if user is None or user.deleted_at is not None:
                return "This account is gone."
            others = [row for row in self._db.users.where(is_admin=True) if row.id != key and users.is_admin(row)]
            if not is_admin and not others:
                return "This is the last admin: make another one first."
            self._db.users.update(key, is_admin=is_admin)
        return None

    def end_sessions(self, key: str) -> int:
        """End all logins of a user, those of the admin page too; return how many there were of the API."""
        if (user := self._db.users.get(key)) is not None:
            self.leave_admin_page(user.email)
        return self._db.sessions.where(Session.user_id == key).delete()


class BackendBackups:
    """The backups that the settings ask for."""

    def __init__(self, resources: Resources) -> None:
        """Take what makes them, once it is open."""
        self._resources = resources

    @property
    def folder(self) -> Path | None:
        """Where they are; None if the settings name no folder."""
        directory = self._resources.settings.backup_dir
        return Path(directory) if directory else None

    @property
    def schedule(self) -> str:
        """When they are made, and which are kept."""
        settings = self._resources.settings
        if not settings.backup_dir:
            return "made for the download alone; BACKEND_BACKUP_DIR keeps them"
        kept = [f"the last {settings.backup_keep_last}"]
        for count, unit in (
            (settings.backup_keep_daily, "days"),
            (settings.backup_keep_weekly, "weeks"),
            (settings.backup_keep_monthly, "months"),
        ):
            kept += [f"{count} {unit}"] if count else []
        return f"every {settings.backup_every}; keeps {', '.join(kept)}"

    @property
    def error(self) -> str | None:
        """Why the last one failed; None if it didn't."""
        backups = self._resources.backups if self._resources.settings.backup_dir else None
        return None if backups is None else backups.report.error

    @property
    def next_at(self) -> datetime | None:
        """When the next one is due."""
        backups = self._resources.backups if self._resources.settings.backup_dir else None
        return None if backups is None else backups.report.next_at

    def make(self) -> None:
        """Make one now, and remove those that no rule keeps."""
        backups = self._resources.backups if self._resources.settings.backup_dir else None
        if backups is not None:
            backups.make()
