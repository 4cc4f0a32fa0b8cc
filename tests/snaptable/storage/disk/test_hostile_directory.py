"""Hostile surroundings: links, pipes and other people's files in place of ours are refused without blocking."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.snaptable.storage.support import (
    JOURNAL,
    QUARANTINE,
    SNAPSHOT,
    Store,
    User,
    expect_refusal,
    ids,
    opened,
    tree,
)

from snaptable import OpenError, SnaptableError, UnsafeDirectory
from snaptable.storage.disk.files import Files

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534
LOCK = "db.lock"
ROOT = Path(__file__).parents[4]
Plant = Callable[[Path, Path], None]


@pytest.fixture
def closed(directory: Path) -> Path:
    """Give a closed store with a user."""
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
    return directory


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Give a directory that every user can reach; pytest closes its own to others whenever it starts."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def symlink(path: Path, elsewhere: Path) -> None:
    """Move a file elsewhere and leave a symlink to it."""
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def dangling(path: Path, elsewhere: Path) -> None:
    """Leave a symlink to what isn't there."""
    path.unlink()
    path.symlink_to(elsewhere)


def hard_link(path: Path, elsewhere: Path) -> None:
    """Give a file a second name."""
    elsewhere.hardlink_to(path)


def pipe(path: Path, elsewhere: Path) -> None:
    """Put a FIFO in its place: opening it without care blocks for ever."""
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path, elsewhere: Path) -> None:
    """Put a directory in its place."""
    path.unlink()
    path.mkdir()


def unix_socket(path: Path, elsewhere: Path) -> None:
    """Put a socket in its place."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        made.bind(path.name)
        os.chdir(here)


def device(path: Path, elsewhere: Path) -> None:
    """Put a symlink to a device that never ends in its place."""
    path.unlink()
    path.symlink_to("/dev/zero")


def foreign(path: Path, elsewhere: Path) -> None:
    """Give the file to somebody else."""
    os.chown(path, 12_345, 12_345)


PLANTS = [symlink, dangling, hard_link, pipe, folder, unix_socket, device, pytest.param(foreign, marks=root_only)]


@pytest.mark.parametrize("name", [SNAPSHOT, f"{JOURNAL}/1.jsonl", "db.lock"])
@pytest.mark.parametrize("plant", PLANTS)
def test_in_place_of_a_file(closed: Path, tmp_path: Path, plant: Plant, name: str) -> None:
    """Ensure what stands under a name of ours and is no plain file of ours alone is refused by its path."""
    elsewhere = tmp_path / "elsewhere"
    plant(closed / name, elsewhere)
    kept = elsewhere.read_bytes() if elsewhere.exists() else None
    expect_refusal(closed, UnsafeDirectory, str(closed / name))
    if name == SNAPSHOT:
        expect_refusal(closed, UnsafeDirectory, str(closed / name), read_only=True)
    assert (elsewhere.read_bytes() if elsewhere.exists() else None) == kept


@pytest.mark.parametrize("name", [JOURNAL, QUARANTINE])
def test_in_place_of_a_folder(closed: Path, tmp_path: Path, name: str) -> None:
    """Ensure a folder of ours that is a symlink, a file, or open to everybody is refused, its target untouched."""
    elsewhere = tmp_path / "elsewhere"
    path = closed / name
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.mkdir()
    before = tree(elsewhere)
    path.symlink_to(elsewhere)
    expect_refusal(closed, UnsafeDirectory, str(path))
    assert tree(elsewhere) == before
    path.unlink()
    path.write_text("a file")
    expect_refusal(closed, UnsafeDirectory, str(path))
    path.unlink()
    path.mkdir()
    path.chmod(0o777)
    expect_refusal(closed, UnsafeDirectory, str(path))


@pytest.mark.parametrize("name", ["db.lock", SNAPSHOT, JOURNAL])
def test_planted_before_the_first_start(directory: Path, tmp_path: Path, name: str) -> None:
    """Ensure a link planted where the store will make a file leads no write to its target."""
    directory.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (directory / name).symlink_to(precious)
    expect_refusal(directory, UnsafeDirectory, str(directory / name))
    assert precious.read_text() == "mine"


def test_a_directory_that_everybody_may_write_to(closed: Path) -> None:
    """Ensure a world-writable directory is refused with what to do about it, also with a sticky bit."""
    for mode in (0o777, 0o1777, 0o702):
        closed.chmod(mode)
        expect_refusal(closed, UnsafeDirectory, str(closed), "chmod")


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o770, 0o775])
def test_a_directory_that_others_may_only_read(closed: Path, mode: int) -> None:
    """Ensure a directory that is readable by others, or writable by the group, is taken and keeps its mode."""
    closed.chmod(mode)
    assert list(opened(closed)["users"]) == ["a"]
    assert closed.stat().st_mode & 0o777 == mode


@root_only
def test_a_directory_of_somebody_else(closed: Path) -> None:
    """Ensure another user's directory is refused, and says whose it is."""
    os.chown(closed, 12_345, 12_345)
    expect_refusal(closed, UnsafeDirectory, str(closed), "12345")


def test_a_path_that_is_none(tmp_path: Path) -> None:
    """Ensure a path with a NUL, below a file, or of a file is an OpenError, and makes nothing."""
    (tmp_path / "file").write_text("mine")
    for path in ("da\0ta", str(tmp_path / "file"), str(tmp_path / "file" / "data"), "x" * 5_000):
        before = tree(tmp_path)
        with pytest.raises(OpenError):
            Store(path).open()
        with pytest.raises(OpenError):
            Store(path, read_only=True).open()
        assert tree(tmp_path) == before


def test_a_symlink_to_the_directory_is_resolved_once(closed: Path, tmp_path: Path) -> None:
    """Ensure the directory may be a symlink, and that turning it elsewhere moves nothing of an open store."""
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(closed)
    other.mkdir()
    with Store(link, fsync=False) as db:
        assert db.directory == closed.resolve()
        link.unlink()
        link.symlink_to(other)
        db.users.insert(User(id="b"))
    assert list(other.iterdir()) == []
    assert list(opened(closed)["users"]) == ["a", "b"]


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """Give a directory of a user who is not root, and be that user: root may write anywhere."""
    directory = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield directory
    os.seteuid(os.getuid())
    directory.chmod(0o700)
    shutil.rmtree(directory)


def test_a_directory_that_may_not_be_written(as_nobody: Path) -> None:
    """Ensure a store whose files can't be written is an OpenError, and the same store once they can."""
    with Store(as_nobody) as db:
        db.users.insert(User(id="a"))
    as_nobody.chmod(0o500)
    (as_nobody / LOCK).chmod(0o400)
    with pytest.raises(OpenError):
        Store(as_nobody).open()
    (as_nobody / LOCK).chmod(0o600)
    as_nobody.chmod(0o700)
    assert list(opened(as_nobody)["users"]) == ["a"]


def test_a_leftover_that_is_a_link_is_not_followed(closed: Path, tmp_path: Path) -> None:
    """Ensure a planted name of a temporary is neither loaded nor its target removed."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (closed / f".db_snapshot.{'0' * 32}.tmp").symlink_to(precious)
    (closed / f".db_snapshot.{'1' * 32}.tmp").mkdir()
    with Store(closed, fsync=False) as db:
        db.users.insert(User(id="b"))
        assert ids(db) == ["a", "b"]
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", [SNAPSHOT, JOURNAL])
def test_planted_while_it_is_open(store: Store, tmp_path: Path, name: str) -> None:
    """Ensure a link put in place of a file or folder of an open store is not written through, nor reads stopped."""
    assert store.directory is not None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere / "target"
    target.write_text("mine")
    if name == JOURNAL:
        (store.directory / JOURNAL).rename(tmp_path / "moved")
        (store.directory / JOURNAL).symlink_to(elsewhere)
    else:
        (store.directory / SNAPSHOT).unlink()
        (store.directory / SNAPSHOT).symlink_to(target)
    try:
        store.users.insert(User(id="a"))
    except SnaptableError:
        assert ids(store) == []
    else:
        assert ids(store) == ["a"]
    assert [path.read_text() for path in elsewhere.iterdir()] == ["mine"]


def test_the_advice_on_hard_links_works(directory: Path) -> None:
    """Ensure the command that the message names makes a store of `cp -al` open, file by file, its twin untouched."""
    with Store(directory, fsync=False) as db:
        db.users.insert(User(id="a"))
    shutil.copytree(directory, twin := directory.parent / "it's a twin", copy_function=os.link)
    before = tree(directory)
    for _ in range(9):
        try:
            with Store(twin, fsync=False) as db:
                db.users.insert(User(id="b"))
            break
        except UnsafeDirectory as error:
            command = str(error).partition("bytes of its own: ")[2]
            subprocess.run(command, shell=True, check=True)
    assert list(opened(twin)["users"]) == ["a", "b"]
    assert tree(directory) == before


@root_only
def test_the_advice_on_a_volume_of_another_user_works(reachable: Path, tmp_path: Path) -> None:
    """Ensure a process whose group may write to a volume of root's is told of a directory below it, which works."""
    volume = reachable / "volume"
    volume.mkdir()
    os.chown(volume, 0, NOBODY)
    volume.chmod(0o2775)
    program = (
        "import os, sys\n"
        "from tests.snaptable.storage.support import Store, User\n"
        "with Store(sys.argv[2], fsync=False) as db: db.users.insert(User())\n"  # what is imported late
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "with Store(sys.argv[1], fsync=False) as db: db.users.insert(User())\n"
    )
    refusal = subprocess.run(
        [sys.executable, "-c", program, str(volume), str(tmp_path / "1")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    words = ("belongs to user 0", "--user 0", f"chown -R {NOBODY} {volume}", f"such as {volume / 'store'}")
    assert [word for word in words if word not in refusal.stderr] == [], refusal.stderr
    store = str(volume / "store")
    subprocess.run([sys.executable, "-c", program, store, str(tmp_path / "2")], cwd=ROOT, check=True)


# ── a store of another user ─────────────────────────────────────────────────────────────────────────────────────────

OWNER = f"""
import os, sys
from tests.snaptable.storage.support import Store, User
with Store(sys.argv[2], fsync=False) as db: db.users.insert(User())  # what is imported late
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""
RUNNING = """
from snaptable.storage.snapshot import checkpointer
checkpointer.DELAY = 3600.0  # nothing is written but when the test asks for it
with Store(sys.argv[1], snapshot="background") as db:
    db.users.insert(User(id="a"))
    print("ready", flush=True)
    for key in sys.stdin:
        db.users.insert(User(id=key.strip()))
        print("written", flush=True)
"""


@pytest.fixture
def theirs(reachable: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a running program of another user, whose store is `reachable/theirs/store`; it inserts a user a line."""
    home = reachable / "theirs"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    arguments = [sys.executable, "-c", OWNER + RUNNING, str(home / "store"), str(tmp_path / "1")]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        yield program
        program.stdin.close()
        assert program.wait(60) == 0


def owners(directory: Path) -> set[int]:
    """Return whose a directory and everything below it is."""
    return {path.lstat().st_uid for path in (directory, *directory.rglob("*"))}


@root_only
def test_root_reads_a_running_store_of_another_user(theirs: subprocess.Popen[str], reachable: Path) -> None:
    """Ensure read_only shows root its rows and its past, changes nothing, and its owner writes on."""
    directory = reachable / "theirs" / "store"
    assert theirs.stdin is not None
    assert theirs.stdout is not None
    for keys in (["a"], ["a", "b"], ["a", "b", "c"]):
        before = tree(directory)
        with Store(directory, read_only=True) as reader:
            assert ids(reader) == keys
            assert [commit.sequence for commit in reader.history.commits(oldest_first=True)] == [
                *range(1, len(keys) + 1)
            ]
            assert reader.check() == []
        assert tree(directory) == before
        assert owners(directory) == {NOBODY}
        theirs.stdin.write("bcd"[len(keys) - 1] + "\n")
        theirs.stdin.flush()
        assert theirs.stdout.readline() == "written\n"


@root_only
def test_the_advice_on_a_running_store_leaves_it_to_its_owner(theirs: subprocess.Popen[str], reachable: Path) -> None:
    """Ensure writing as root is refused, naming whom to become; ownership only with what must be so before."""
    directory = reachable / "theirs" / "store"
    assert theirs.poll() is None
    for name in ("", JOURNAL):
        user = pwd.getpwuid(NOBODY).pw_name
        with pytest.raises(UnsafeDirectory) as refused:
            Files(directory).check_directory(name)
        text = str(refused.value)
        assert f"sudo -u {user} " in text
        assert "such as" not in text
        if "chown" in text:
            assert text.index("sudo -u") < text.index("Only if no process has the store open") < text.index("chown")
        assert "move" not in text
    expect_refusal(directory, UnsafeDirectory, "belongs to user", "sudo -u", "Only if no process has the store open")
    assert owners(directory) == {NOBODY}


@root_only
@pytest.mark.parametrize("read_only", [False, True])
def test_who_may_not_look_is_told_whose_it_is(reachable: Path, tmp_path: Path, *, read_only: bool) -> None:
    """Ensure a user who can't read a store of another is told whom to become."""
    closed = reachable / "store"
    with Store(closed, fsync=False) as db:
        db.users.insert(User(id="a"))
    before = tree(closed)
    program = OWNER + f"Store(sys.argv[1], read_only={read_only}).open()"
    arguments = [sys.executable, "-c", program, str(closed), str(tmp_path / "1")]
    refusal = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refusal.returncode == 1
    assert "snaptable.errors.OpenError" in refusal.stderr
    words = ("belongs to user 0", "sudo -u root ", "--user 0", "Only if no process has the store open")
    assert [word for word in words if word not in refusal.stderr] == [], refusal.stderr
    assert tree(closed) == before


@root_only
@pytest.mark.parametrize("name", [SNAPSHOT, f"{JOURNAL}/1.jsonl"])
@pytest.mark.parametrize("plant", [symlink, hard_link, pipe, unix_socket, device, foreign])
def test_root_reads_only_plain_files_of_the_owner(closed: Path, tmp_path: Path, plant: Plant, name: str) -> None:
    """Ensure what the owner of a store planted in place of a file, a third user's too, is not read by root either."""
    if name != SNAPSHOT:
        (closed / SNAPSHOT).unlink()  # so that the journal is what is read
    for path in (closed, *closed.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    with Store(closed, read_only=True) as reader:
        assert ids(reader) == ["a"]
    plant(closed / name, tmp_path / "elsewhere")
    expect_refusal(closed, UnsafeDirectory, str(closed / name), read_only=True)
