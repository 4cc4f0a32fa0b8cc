"""What to type for the command `snaptable`: it need not be on the PATH."""

import os
import sys


def program() -> str:
    """Return what to type for the command `snaptable`, where this process was started."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:  # a child of `uv run`, which has put the command on our PATH only
        import shlex

        uv = "uv" if _is_on_path("uv") else os.environ.get("UV", "uv")
        return f"{shlex.quote(_below_here(uv))} run snaptable"
    if _is_on_path("snaptable"):
        return "snaptable"
    typed = sys.argv[0] if sys.argv else ""
    is_script = os.path.basename(typed) in ("snaptable", "snaptable.exe")  # noqa: PTH119 - pathlib is slow to import
    return _below_here(typed) if is_script else "python -m snaptable"


def _is_on_path(command: str) -> bool:
    """Return whether a shell finds a command; importing `shutil` for it would be a tenth of what `--help` takes."""
    if sys.platform == "win32":
        import shutil

        return shutil.which(command) is not None
    places = (os.path.join(folder, command) for folder in os.get_exec_path() if folder)  # noqa: PTH118
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)  # noqa: PTH113


def _below_here(path: str) -> str:
    """Return a path relative to the working directory if it is below it, else as it is."""
    here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - the text is what is shown
    return path.removeprefix(here)
