"""The backend's settings: environment variables `BACKEND_…`, a `.env` file, options of the same names."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """Every setting; the descriptions are what `backend --help` shows."""

    model_config = SettingsConfigDict(env_prefix="BACKEND_", env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data_dir: str = Field("data", description='Directory of the store, made if missing; "memory:" keeps nothing.')
    fsync: bool = Field(default=True, description="Sync every write to the disk; without, writes survive a kill only.")
    snapshot: Literal["auto", "always", "background"] = Field(
        "auto", description="When db_snapshot.json is renewed: auto, always (before every answer) or background."
    )
    max_upload: int = Field(50 * MIB, gt=0, description="Largest document in bytes.")
    max_body: int = Field(MIB, gt=0, description="Largest request body in bytes, uploads aside.")
    session_hours: float = Field(24 * 14, gt=0, le=24 * 3650, description="How long a login lasts.")
    login_failures: int = Field(10, gt=0, description="Failed logins allowed on one account from one address a window.")
    login_address_failures: int = Field(100, gt=0, description="Failed logins allowed from one address a window.")
    login_window: int = Field(300, gt=0, description="Length of that window in seconds.")
    registrations: int = Field(300, gt=0, description="Registrations allowed from one address a minute.")
    argon2_memory: int = Field(64 * 1024, ge=8, description="Memory for hashing a password, in KiB.")
    argon2_passes: int = Field(3, ge=1, description="Passes over that memory.")
    argon2_lanes: int = Field(4, ge=1, description="Threads that share the work.")
    password_workers: int = Field(2, ge=1, description="Passwords hashed at the same time.")
    pdf_workers: int = Field(2, ge=1, description="PDFs read at the same time.")
    pdf_seconds: float = Field(10.0, gt=0, description="How long reading one PDF may take.")
    shutdown_seconds: int = Field(3, ge=0, description="How long a stop waits for open connections.")
    access_log: bool = Field(default=True, description="Log every request.")
    trusted_proxies: str = Field("", description="Proxies whose X-Forwarded-For is believed, comma-separated.")
