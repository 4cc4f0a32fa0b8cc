"""The library is typed for its users: good code passes the strict type checker, mistakes fail where they are made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "typing_sample"
SETTINGS = """
[mypy]
strict = True
mypy_path = {backend}
plugins = pydantic.mypy
"""


@pytest.fixture(name="found", scope="module")
def run_type_checker(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the errors in the samples, and in a copy of the mistakes whose ignores were taken away."""
    folder = tmp_path_factory.mktemp("typing")
    config, bare = folder / "mypy.ini", folder / "bare.py"
    config.write_text(SETTINGS.format(backend=SAMPLES.parents[2] / "backend"))
    bare.write_text((SAMPLES / "misuse.py").read_text().replace("# type: ignore", "# expected: "))
    options = ["--config-file", str(config), "--cache-dir", str(folder / "cache"), "--no-error-summary", "--no-pretty"]
    files = [str(SAMPLES / "use.py"), str(SAMPLES / "misuse.py"), str(bare)]
    run = subprocess.run([sys.executable, "-m", "mypy", *options, *files], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    return [line for line in run.stdout.splitlines() if ": error: " in line]


def test_good_code_passes(found: list[str]) -> None:
    """Ensure that user code passes the strict type checker, and that what it is given has the types it says."""
    assert [line for line in found if "use.py" in line and "misuse.py" not in line] == []


def test_mistakes_fail(found: list[str]) -> None:
    """Ensure that every wrong field, wrong type and wrong argument is the named error on its line, and no other is."""
    assert [line for line in found if "misuse.py" in line] == []
    bare = [match for line in found if (match := re.search(r"bare\.py:(\d+): error: .*\[([\w-]+)\]$", line))]
    lines = (SAMPLES / "misuse.py").read_text().splitlines()
    assert len(bare) >= 30
    assert all(match[2] in lines[int(match[1]) - 1] for match in bare)
