"""The examples of the command's README are what the command prints."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = Path(__file__).parents[3] / "backend/snaptable/cli/README.md"
VARYING = {
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "ID",
    r"\d{4}-\d\d-\d\dT[\d:]+\.\d{6}Z": "TIME",
    r"crc32:[0-9a-f]{8}": "CRC",
}


def examples(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of the console blocks, and what it prints."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def without_varying(text: str) -> str:
    """Return a text without what is different each time."""
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return text


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_examples(tmp_path: Path) -> None:
    """Ensure every example, run in order in one directory, prints what is written there."""
    text = README.read_text()
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(code)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UV_RUN")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(command: str, answer: str) -> str:
        ended = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
        return ended.stdout.replace(str(tmp_path), "/srv/library")

    run(f"{sys.executable} fill.py", "")
    for command, expected in examples(text):
        answer = "y\n" if "[y/N] y\n" in expected else ""
        printed = run(command, answer)
        assert without_varying(printed) == without_varying(expected.replace("[y/N] y\n", "[y/N] ")), command
