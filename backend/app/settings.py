"""The backend's settings: environment variables `BACKEND_…`, a `.env` file, options of the same names."""

import re
from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.logs import LogFormat
from app.usage import MIB, Limits

_PERIOD = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
_CACHE = re.compile(r"(redis|rediss|valkey|valkeys|unix)://.")
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class Settings(BaseSettings):
    """Every setting; the descriptions are what `backend --help` shows."""

    model_config = SettingsConfigDict(env_prefix="BACKEND_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data_dir: str = Field("data", description='Directory of the store, made if missing; "memory:" keeps nothing.')
    database_url: str = Field(
        "",
        repr=False,
        description="postgresql://… of the database, in the place of the directory's; files stay in the directory.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve, if database_url names a server; limits on passwords hashed and PDFs read at"
        " the same time are shared out among them, those on connections and streams hold for each.",
    )
    cache_url: str = Field(
        "",
        repr=False,
        description="redis://…, rediss://…, valkey://… or unix:///… of a cache for hot reads, on top of database_url;"
        " the same for all servers of one database. None is used without.",
    )
    cache_seconds: float = Field(
        60.0, gt=0, le=86_400, description="How long an answer is kept there; changes by psql are seen as late."
    )
    fsync: bool = Field(default=True, description="Sync every write to the disk; without, writes survive a kill only.")
    snapshot: Literal["auto", "always", "background"] = Field(
        "auto", description="When db_snapshot.json is renewed: auto, always (before every answer) or background."
    )
    backup_dir: str = Field("", description="Folder for backups, on another disk if possible; none is made without.")
    backup_every: str = Field("24h", description="Time between two backups: a number and s, min, h or d.")
    backup_keep_last: int = Field(3, ge=1, description="Newest backups that are kept.")
    backup_keep_daily: int = Field(7, ge=0, description="Days of which the newest backup is kept.")
    backup_keep_weekly: int = Field(4, ge=0, description="Weeks of which the newest backup is kept.")
    backup_keep_monthly: int = Field(12, ge=0, description="Months of which the newest backup is kept.")
    backup_to: str = Field(
        "", description="Public keys (age1…) that backups are encrypted for, comma-separated; needs snaptable[backup]."
    )
    max_upload: int = Field(50 * MIB, gt=0, description="Largest document in bytes.")
    keep_deleted_bytes: int = Field(
        1024 * MIB,
        ge=0,
        description="Bytes of deleted documents that are kept to undo deletions; the first deleted go first.",
    )
    purge_deleted_accounts: bool = Field(
        default=False,
        description="Erase deleted accounts from history and every file too, so that no admin can take it back.",
    )
    max_body: int = Field(MIB, gt=0, description="Largest request body in bytes, uploads aside.")
    max_login_body: int = Field(16 * 1024, gt=0, description="Largest request body at /api/auth, in bytes.")
    quota_documents: int = Field(Limits.documents, gt=0, description="Documents that a user may have.")
    quota_document_bytes: int = Field(
        Limits.document_bytes,
        gt=0,
        description="Bytes that all files of a user may take, equal ones counted each time.",
    )
    quota_marks: int = Field(Limits.marks, gt=0, description="Extractions and annotations that a user may have.")
    quota_row_bytes: int = Field(Limits.row_bytes, gt=0, description="Bytes that all rows of a user may take, as JSON.")
    json_bytes: int = Field(
        Limits.json_bytes,
        gt=0,
        description="Bytes that a document's metadata, or an annotation's coordinates, may take.",
    )
    page_bytes: int = Field(4 * MIB, gt=0, description="Bytes from which on a page of a list ends before its limit.")
    session_hours: float = Field(24 * 14, gt=0, le=24 * 3650, description="How long a login lasts.")
    session_idle_hours: float = Field(
        72, gt=0, le=24 * 3650, description="How long a login lasts that is not used; its use is noted once an hour."
    )
    sessions: int = Field(20, gt=0, description="Logins of one account at a time; a further one ends the oldest.")
    login_failures: int = Field(10, gt=0, description="Failed logins allowed on one account from one address a window.")
    login_address_failures: int = Field(100, gt=0, description="Failed logins allowed from one address a window.")
    login_address_logins: int = Field(
        1000, gt=0, description="Logins allowed from one address a window, those that succeed included."
    )
    login_window: int = Field(300, gt=0, description="Length of that window in seconds.")
    registrations: int = Field(300, gt=0, description="Registrations allowed from one address a minute.")
    argon2_memory: int = Field(64 * 1024, ge=8, description="Memory for hashing a password, in KiB.")
    argon2_passes: int = Field(3, ge=1, description="Passes over that memory.")
    argon2_lanes: int = Field(4, ge=1, description="Threads that share the work.")
    password_workers: int = Field(
        2, ge=1, description="Passwords hashed at the same time, by all processes of this backend."
    )
    password_wait: float = Field(
        10.0, gt=0, description="Seconds that a login or registration waits for a place before it is answered 503."
    )
    pdf_workers: int = Field(2, ge=1, description="PDFs read at the same time, by all processes of this backend.")
    pdf_seconds: float = Field(10.0, gt=0, description="How long reading one PDF may take.")
    pdf_patience: float = Field(
        15.0, gt=0, description="How long a PDF may wait to be read, in its process; then its upload is 503."
    )
    shutdown_seconds: int = Field(3, ge=0, description="How long a stop waits for open connections.")
    max_connections: int = Field(
        4096, gt=0, description="Connections at once, of each process; fewer if few files may be open."
    )
    address_connections: int = Field(
        512,
        ge=0,
        description="Connections at once of one address, to each process, unless it is this machine or a trusted proxy;"
        " 0: any.",
    )
    feeds: int = Field(1000, gt=0, description="Streams of /api/changes at once, of each process.")
    user_feeds: int = Field(20, gt=0, description="Such streams of one user at once, of each process.")
    head_seconds: float = Field(10.0, gt=0, description="How long a client may take for a request's head.")
    body_seconds: float = Field(30.0, gt=0, description="Windows in which a body must keep up its least rate.")
    body_rate: int = Field(4096, gt=0, description="That rate in bytes a second.")
    reader_seconds: float = Field(30.0, gt=0, description="How long an answer waits for a client that takes nothing.")
    admin: bool = Field(default=True, description="Serve the admin page at /admin, for users with is_admin.")
    access_log: bool = Field(default=True, description="Log every request: one line, without keys and queries.")
    log_format: LogFormat = Field("text", description="Lines of the log: text for people, or json for programs.")
    slow_query_ms: int = Field(500, ge=0, description="Queries that take as many milliseconds are logged; 0: none.")
    health_token: str = Field(
        "",
        description="Token that shows the details of /health, /api/monitoring and /metrics to a monitor; a login shows"
        " them too, strangers see the status only.",
        repr=False,
    )
    tls_certificate: str = Field("", description="File of the certificate and its chain, to serve HTTPS; else HTTP.")
    tls_key: str = Field("", description="File of the certificate's private key.")
    cors_origins: str = Field(
        "", description="Origins whose pages may call the API from a browser, comma-separated; none is closed."
    )
    trusted_proxies: str = Field(
        "",
        description="Proxies whose X-Forwarded-For is believed, comma-separated; `*` believes everybody.",
    )

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, workers: int, given: ValidationInfo) -> int:
        """Refuse several processes on one directory, or without files that they share."""
        if workers > 1 and not given.data.get("database_url"):
            raise ValueError(
                "one process writes to a directory. To run several, move the store to PostgreSQL (`snaptable move DIR"
                " postgresql://…`) and name it by --database-url; until then, leave --workers at 1"
            )
        if workers > 1 and given.data.get("data_dir") == "memory:":
            raise ValueError("several processes share the documents' files: give --data-dir a folder")
        return workers

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        """Refuse what no browser sends as an origin: it would silently allow nothing."""
        for origin in _listed(text):
            if origin == "*":
                raise ValueError("name the origins; `*` would let every page that a user visits call this API")
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin; write it as a browser does: https://app.example.org")
        return text

    @field_validator("backup_every")
    @classmethod
    def _check_period(cls, text: str) -> str:
        """Refuse what is not a period, or one so short that the server would do nothing else."""
        if _period(text) < timedelta(seconds=1):
            raise ValueError("the time between two backups is a second or more: write 24h, 30min, 7d")
        return text

    @model_validator(mode="after")
    def _check_backups(self) -> Self:
        """Refuse backups of what is kept nowhere."""
        if self.backup_dir and self.data_dir == "memory:":
            raise ValueError("backup_dir: a store in memory has nothing to back up; give data_dir a folder")
        if self.backup_dir and self.database_url:
            raise ValueError(
                "backup_dir: a database on PostgreSQL is backed up by pg_dump, or by the server's own archive, and the"
                " documents' files by any tool that copies a folder; leave backup_dir out"
            )
        return self

    @model_validator(mode="after")
    def _check_cache(self) -> Self:
        """Refuse a cache of what is in memory anyway, and any URL that is not a cache's."""
        if self.cache_url and not self.database_url:
            raise ValueError("cache_url is for database_url alone: a store of files answers reads from memory itself")
        if self.cache_url and not _CACHE.match(self.cache_url):
            raise ValueError("cache_url begins with redis://, rediss://, valkey:// or unix://")
        return self

    @property
    def backup_period(self) -> timedelta:
        """The time between two backups."""
        return _period(self.backup_every)

    @property
    def backup_recipients(self) -> tuple[str, ...]:
        """The public keys that backups are encrypted for."""
        return _listed(self.backup_to)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        """Refuse half a pair: it would silently serve HTTP."""
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("give tls_certificate and tls_key, or neither")
        return self

    @property
    def proxies(self) -> tuple[str, ...]:
        """The proxies whose headers are believed."""
        return _listed(self.trusted_proxies)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may call the API."""
        return _listed(self.cors_origins)


def _period(text: str) -> timedelta:
    """Return the time that a number and its unit stand for; none for any other text."""
    match = _PERIOD.fullmatch(text.strip())
    return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else timedelta()


def _listed(text: str) -> tuple[str, ...]:
    """Return the parts of a text that separates them by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
