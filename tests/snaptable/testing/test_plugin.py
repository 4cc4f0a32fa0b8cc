"""The pytest plugin as a plugin: what it costs, what it reports, and how it gets on with others."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

SCHEMA = """
import pytest
from snaptable import Database, Row, Table

class Note(Row):
    id: int | None = None
    text: str = ""

class Notes(Database):
    notes: Table[Note]
"""
PLAIN = ("-p", "no:cacheprovider", "-p", "no:schemathesis")


def test_nothing_is_imported_until_a_fixture_is_used(pytester: pytest.Pytester) -> None:
    """A session that uses none of the fixtures never imports the library, nor what it needs."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert "_snaptable_pytest" in sys.modules
            assert not {"snaptable", "pydantic", "fastapi", "starlette"} & set(sys.modules)
        """
    )
    done = pytester.run(sys.executable, "-m", "pytest", "-p", "no:anyio", "-p", "no:hypothesispytest", *PLAIN)
    done.assert_outcomes(passed=1)


def test_the_fixtures_are_listed(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` shows each with a sentence."""
    shown = pytester.runpytest_inprocess("--fixtures", *PLAIN).stdout.str()
    for name in ("snaptable_store", "snaptable_app", "snaptable_template [session scope]", "snaptable_factory"):
        assert name in shown


def test_a_failure_shows_the_seed_and_the_seed_repeats_it(pytester: pytest.Pytester) -> None:
    """The report of a failing test names every choice, and the option makes it again."""
    pytester.makepyfile(
        SCHEMA
        + """
def test_fails(snaptable_store):
    store = snaptable_store(Notes)
    store.db.notes.insert(Note(text="first"))
    store.power_loss(during=lambda: store.db.notes.insert_many(Note(text=str(n)) for n in range(9)))
    print("rows:", store.db.notes.where().count())
    assert False
"""
    )
    first = pytester.runpytest_inprocess(*PLAIN)
    first.assert_outcomes(failed=1)
    output = first.stdout.str()
    assert "Captured snaptable call" in output
    seed = output.split("power_loss(seed=")[1].split(")")[0]
    again = pytester.runpytest_inprocess("--snaptable-seed", seed, *PLAIN).stdout.str()
    assert f"power_loss(seed={seed})" in again
    assert again.split("rows: ")[1][:2] == output.split("rows: ")[1][:2]


def test_a_seed_that_is_no_number_is_refused(pytester: pytest.Pytester) -> None:
    """A mistake on the command line is said to be one."""
    pytester.makepyfile(SCHEMA + "\ndef test_it(snaptable_store):\n    snaptable_store(Notes)\n")
    result = pytester.runpytest_inprocess("--snaptable-seed", "lucky", *PLAIN)
    assert "takes a number, not 'lucky'" in result.stdout.str() + result.stderr.str()


def test_it_is_safe_under_xdist(pytester: pytest.Pytester) -> None:
    """Workers have directories and seeds of their own."""
    pytester.makepyfile(
        SCHEMA
        + """
@pytest.fixture(scope="session")
def filled(snaptable_template):
    return snaptable_template(Notes, lambda db: db.notes.insert(Note(text="seed")))

@pytest.mark.parametrize("number", range(4))
def test_each(snaptable_store, filled, number):
    store = snaptable_store(filled)
    store.db.notes.insert(Note(text=str(number)))
    store.power_loss()
    assert [note.text for note in store.db.notes.where()] == ["seed", str(number)]
"""
    )
    result = pytester.run(sys.executable, "-m", "pytest", "-n", "2", *PLAIN)
    result.assert_outcomes(passed=4)


def test_nothing_is_left_open_or_patched(pytester: pytest.Pytester) -> None:
    """After a test its stores are closed, its threads have ended, and a Database is given no disk any more."""
    pytester.makepyfile(
        SCHEMA
        + """
import threading, time
from snaptable.engines.observers import observed_filesystem
stores = []
before = set(threading.enumerate())  # what another test of this process left to end by itself

def test_one(snaptable_store):
    store = snaptable_store(Notes, snapshot="background")
    stores.append(store)
    store.disk.fail("any")
    store.fork

def test_two():
    assert not stores[0].db.is_open
    # Waited for: a database that another test of this process forgot may be closed just now, in a thread of its own.
    until = time.monotonic() + 30
    while [thread for thread in {*threading.enumerate()} - before if thread.name.startswith("snaptable")]:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert observed_filesystem(stores[0].db, stores[0].directory) is None
"""
    )
    pytester.runpytest_inprocess(*PLAIN).assert_outcomes(passed=2)


def test_the_public_names_are_imported_when_asked_for() -> None:
    """`snaptable.testing` itself imports nothing; each public name is there, and no other."""
    code = (
        "import sys, snaptable.testing as testing\n"
        "assert not [name for name in sys.modules if name.startswith('snaptable.testing.')]\n"
        "assert all(getattr(testing, name) for name in testing.__all__)\n"
        "assert set(testing.__all__) == set(testing._MODULES)\n"
        "try:\n    testing.nothing\nexcept AttributeError as error:\n    assert 'nothing' in str(error)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
