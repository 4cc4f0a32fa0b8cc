"""`snaptable git`: snapshots in a repository, shown and merged by row and field."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.snaptable.cli.library import SCHEMA, Library, User, filled
from tests.snaptable.cli.support import command

from snaptable.maintenance.snapshot_merge import State, changes_between, merged
from snaptable.storage.snapshot.format import SnapshotHeader


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Give a snapshot by itself, in the working directory."""
    filled(tmp_path / "data")
    shutil.copy(tmp_path / "data" / "db_snapshot.json", tmp_path / "base.json")
    return tmp_path / "base.json"


def edited(base: Path, name: str, **names: str) -> Path:
    """Return a copy in which users are called otherwise, or are new."""
    folder = base.parent / name
    folder.mkdir()
    shutil.copy(base, folder / "db_snapshot.json")
    with Library(folder, banner=False, fsync=False) as db:
        for key, called in names.items():
            if db.users.get(key) is None:
                db.users.insert(User(id=key, email=f"{key}@x.org", name=called))
            else:
                db.users.update(key, name=called)
    return folder / "db_snapshot.json"


def names_in(path: Path) -> dict[str, str]:
    """Return what users are called, as their program reads it."""
    folder = path.parent / f"opened-{path.parent.name}"
    folder.mkdir()
    shutil.copy(path, folder / "db_snapshot.json")
    with Library(folder, banner=False, fsync=False) as db:
        assert db.check() == []
        return {user.id: user.name for user in db.users.all()}


def test_merge(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure changes of different rows are both there, and the result is a snapshot that opens."""
    monkeypatch.chdir(base.parent)
    ours, theirs = edited(base, "ours", ann="Annika", cid="Cid"), edited(base, "theirs", bob="Robert", dan="Dan")
    assert command("git", "merge", base, ours, theirs, "seed.json").status == 0
    assert names_in(ours) == {"ann": "Annika", "bob": "Robert", "cid": "Cid", "dan": "Dan"}


def test_conflicts(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure what both changed is named by row and field, secrets masked, ours stays, and git is told."""
    monkeypatch.chdir(base.parent)
    ours, theirs = edited(base, "ours", ann="Annika"), edited(base, "theirs", ann="Anne")
    before = ours.read_bytes()
    result = command("git", "merge", base, ours, theirs, "seed.json")
    assert result.says("seed.json: users ann  name", "changed by both", "1 conflict").status == 1
    assert "sesame" not in result.err
    assert ours.read_bytes() == before


def test_the_models_are_asked(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure a merge of which each side was valid, and both together are not, is a conflict."""
    monkeypatch.chdir(base.parent)
    Path("pyproject.toml").write_text(f'[tool.snaptable]\nschema = "{SCHEMA}"\n')
    ours, theirs = edited(base, "ours", cid="Cid"), edited(base, "theirs")
    with Library(theirs.parent, banner=False, fsync=False) as db:
        db.users.insert(User(id="other", email="cid@x.org"))
    assert command("git", "merge", base, ours, theirs, "seed.json").says("does not fit the models", "email").status == 1


def test_diff(base: Path) -> None:
    """Ensure rows and fields are listed, of a file that is new as well, and no secret."""
    ours = edited(base, "ours", ann="Annika")
    asked = ("git", "diff", "seed.json", base, "1a", "100644", ours, "2b", "100644")
    assert command(*asked).says("snapshot seed.json", 'replace\tusers\tann\t{"name": ["Anna", "Annika"]}').status == 0
    added = command("git", "diff", "seed.json", "/dev/null", ".", ".", ours, "2b", "100644")
    assert added.says("insert\tusers\tann").status == 0
    assert command("git", "diff", "x").says("snaptable git install").status == 2
    assert "sesame" not in added.out


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_with_git_itself(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ensure that after the installation two branches merge by row, and git diff speaks of rows."""
    monkeypatch.chdir(base.parent)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada")

    def git(*arguments: str) -> str:
        """Call git."""
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout

    ours, theirs = edited(base, "ours", ann="Annika"), edited(base, "theirs", bob="Robert")
    assert command("git", "install").says("git").status == 2  # no repository yet
    git("init", "-q", "-b", "main", "repository")
    monkeypatch.chdir(base.parent / "repository")
    assert command("git", "install").says(".gitattributes").status == 0
    assert command("git", "install").status == 0
    assert Path(".gitattributes").read_text().count("db_snapshot.json diff=snaptable merge=snaptable") == 1
    shutil.copy(base, "db_snapshot.json")
    git("add", ".")
    git("commit", "-qm", "seed")
    git("checkout", "-qb", "theirs")
    shutil.copy(theirs, "db_snapshot.json")
    git("commit", "-qam", "theirs")
    git("checkout", "-q", "main")
    shutil.copy(ours, "db_snapshot.json")
    assert 'users\tann\t{"name": ["Anna", "Annika"]}' in git("diff")
    git("commit", "-qam", "ours")
    git("merge", "-q", "theirs", "-m", "both")
    assert names_in(Path("db_snapshot.json").absolute()) == {"ann": "Annika", "bob": "Robert"}


ROWS = st.dictionaries(st.sampled_from("abc"), st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.integers(0, 2)}))


@given(ROWS, ROWS, ROWS)
@settings(max_examples=200, deadline=None)
def test_a_merge_is_by_field(
    base: dict[str, dict[str, int]], ours: dict[str, dict[str, int]], theirs: dict[str, dict[str, int]]
) -> None:
    """Ensure a merge takes each field from who changed it, is the same the other way round, and invents nothing."""
    header = SnapshotHeader("00000000-0000-4000-8000-000000000000", 1, "2026-11-28T00:00:00.000000Z", {}, "0" * 32, {})

    def state(rows: dict[str, dict[str, int]]) -> State:
        """Return rows as a state."""
        return State({"t": {key: json.dumps({"id": key, **row}).encode() for key, row in rows.items()}}, header)

    one, other = merged(state(base), state(ours), state(theirs)), merged(state(base), state(theirs), state(ours))
    assert bool(one.conflicts) == bool(other.conflicts)
    if one.data is None:
        return
    result = json.loads(one.data)["t"]
    assert result == json.loads(other.data or b"{}")["t"]
    for key in {*base, *ours, *theirs}:
        for field in ("x", "y"):
            then, mine, yours, now = (rows.get(key, {}).get(field) for rows in (base, ours, theirs, result))
            assert now == (yours if mine == then else mine)
    assert not list(changes_between(state(base), state(base)))
