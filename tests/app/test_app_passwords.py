"""Which passwords are refused: what is tried first. Ensures whole kinds, and that honest ones pass."""

import gzip
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app.support import PASSWORD, Api, pointers

from app.security.common_passwords import LIST, reason_to_refuse

EMAIL = "ann.miller@example.org"
TEXT = gzip.decompress(LIST.read_bytes()).decode("ascii").splitlines()
COMMONEST = [line for line in TEXT if not line.startswith("#")]


def test_the_list_names_its_source_and_licence_and_has_what_the_standard_asks() -> None:
    """Ensure 3,000 passwords, each long enough to be allowed otherwise."""
    head = "\n".join(line for line in TEXT if line.startswith("#"))
    for words in ("zxcvbn", "MIT License", "Permission is hereby granted", "Copyright (c)"):
        assert words in head
    assert len(set(COMMONEST)) == 3000
    assert min(map(len, COMMONEST)) >= 8


@given(
    st.sampled_from(COMMONEST), st.sampled_from([str, str.upper, str.title, lambda text: text.replace("a", "\uff41")])
)
def test_the_commonest_are_refused_however_they_are_written(password: str, written: object) -> None:
    """Ensure that neither case nor width of the letters helps."""
    assert callable(written)
    assert reason_to_refuse(written(password), EMAIL)


@given(st.text(st.sampled_from(" \t\u00a0\u2003\u3000\u200b\u0000"), min_size=8))
def test_blanks_only_are_refused(password: str) -> None:
    """Ensure that all kinds of blanks and invisible characters count as nothing."""
    assert reason_to_refuse(password, EMAIL)


@given(st.text(string.printable + "äöü€", min_size=1, max_size=4), st.integers(8, 60))
def test_repetitions_are_refused(pattern: str, length: int) -> None:
    """Ensure that a pattern of up to four characters, repeated, is no password."""
    assert reason_to_refuse((pattern * length)[:length], EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        "12345678", "87654321", "abcdefgh", "stuvwxyz", "zyxwvuts", "qwertyui", "poiuytre", "QWERTZUI", "34567890123",
        "ann.miller", "Ann.Miller1", "ann.miller@example.org", "miller12", "1example!!",
        "snaptable", "Snaptable1", "backend2", "millermiller", "example.org",
    ],
)  # fmt: skip
def test_rows_of_keys_and_words_of_the_account_are_refused(password: str) -> None:
    """Ensure both directions, and that a few further characters don't help."""
    assert reason_to_refuse(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "one password",
        "miller and the seven seas",
        "12345678 apples",
        "Зимой тепло",
        "日本語のパスワード",
        "x7$kQ!mz",
    ],
)
def test_honest_passwords_pass(password: str) -> None:
    """Ensure that nothing else is asked for: no kinds of characters, no script."""
    assert reason_to_refuse(password, EMAIL) is None


@given(st.text(min_size=12), st.emails())
def test_no_text_crashes_the_rules_or_is_repeated(password: str, email: str) -> None:
    """Ensure a sentence or None, whatever is typed."""
    reason = reason_to_refuse(password, email.lower())
    assert reason is None or password not in reason


@pytest.mark.parametrize("password", ["password", "        ", "\u3000" * 9, "a\u0308" * 7, "12345678"])
def test_registering_points_at_the_password(shared: Api, password: str) -> None:
    """Ensure 422 at `password`; length counts composed characters, so that seven of two parts each are too few."""
    body = {"email": "eve@example.org", "password": password}
    assert pointers(shared.http.post("/api/auth/register", json=body)) == ["/password"]
    assert len(unicodedata.normalize("NFC", password)) in (7, 8, 9)
