"""The plugin's page: its code is one test file, and runs."""

import re
from pathlib import Path

import pytest

import snaptable

pytest_plugins = ["pytester"]
README = Path(snaptable.__file__).parent / "testing" / "README.md"


def test_the_examples_of_the_readme_run(pytester: pytest.Pytester) -> None:
    """All code of the page, put together as one file, passes."""
    blocks = re.findall(r"```python\n(.+?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    pytester.makepyfile("\n\n".join(blocks))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:schemathesis")
    result.assert_outcomes(passed=sum(block.count("\ndef test_") + block.startswith("def test_") for block in blocks))
