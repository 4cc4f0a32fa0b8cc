"""The library is typed for its users: good code passes strict checkers without a plugin, mistakes fail where made."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent / "typing_sample"
BACKEND = SAMPLES.parents[2] / "backend"
MYPY = f"[mypy]\nstrict = True\nmypy_path = {BACKEND}\n"


@pytest.fixture(name="found", scope="module")
def run_mypy(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give mypy's errors in the samples, and in a copy of the mistakes whose ignores were taken away."""
    folder = tmp_path_factory.mktemp("typing")
    config, bare = folder / "mypy.ini", folder / "bare.py"
    config.write_text(MYPY)
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
    assert len(bare) >= 40
    assert all(match[2] in lines[int(match[1]) - 1] for match in bare)


NOT_STRICT = ("comparison-overlap",)
"""What mypy finds when it is strict, and Pyright in another mode than its standard one."""


@pytest.mark.skipif(find_spec("basedpyright") is None, reason="the group `pyright` is not installed")
def test_pyright_finds_the_same(tmp_path: Path) -> None:
    """Ensure that Pyright, as editors run it, lets good code pass and finds a mistake on the very same lines."""
    for name in ("use.py", "misuse.py"):
        (tmp_path / name).write_text((SAMPLES / name).read_text().replace("# type: ignore", "# expected: "))
    settings = {"typeCheckingMode": "standard", "extraPaths": [str(BACKEND)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "basedpyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "-p",
        str(tmp_path),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(run.stdout)["generalDiagnostics"]
    errors = {(Path(item["file"]).name, item["range"]["start"]["line"] + 1) for item in found}
    lines = (SAMPLES / "misuse.py").read_text().splitlines()
    expected = {number for number, line in enumerate(lines, 1) if "# type: ignore" in line}
    lenient = {number for number in expected if any(code in lines[number - 1] for code in NOT_STRICT)}
    assert errors - {("misuse.py", number) for number in lenient} == {
        ("misuse.py", number) for number in expected - lenient
    }, run.stdout
