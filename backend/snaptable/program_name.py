"""What to type for the command `snaptable`: it need not be on the PATH."""

import os
import shlex
import shutil


def program() -> str:
    """Return what to type for the command `snaptable`, where this process was started."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:  # a child of `uv run`, which has put the command on our PATH only
        uv = "uv" if shutil.which("uv") else os.environ.get("UV", "uv")
        return f"{shlex.quote(_below_here(uv))} run snaptable"
    return "snaptable" if shutil.which("snaptable") else "python -m snaptable"


def _below_here(path: str) -> str:
    """Return a path relative to the working directory if it is below it, else as it is."""
    here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - the text is what is shown
    return path.removeprefix(here)
