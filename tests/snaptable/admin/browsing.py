"""The browser that the admin's pages are driven in."""

import os
import shutil


def chromium_path() -> str | None:
    """Return where chromium is: as `CHROMIUM` says, else the system's; None without one."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")
