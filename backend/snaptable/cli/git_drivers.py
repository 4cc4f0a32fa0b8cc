"""`snaptable git install`, and the drivers that git calls then: snapshots shown and merged by row and field."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from snaptable.cli.commits_shown import write_changes
from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, UsageError, describe_number, output, say
from snaptable.cli.output import plain, quoted
from snaptable.cli.schema_option import load_schema
from snaptable.cli.settings import find_project
from snaptable.maintenance.models import validator_of
from snaptable.maintenance.snapshot_merge import State, changes_between, merged

ATTRIBUTES = ".gitattributes"
PATTERNS = ("db_snapshot.json", "tests/fixtures/*.json")
NO_FILE = "/dev/null"
DIFF_ARGUMENTS = 7


def run(*, action: str, arguments: Sequence[str], patterns: Sequence[str]) -> int:
    """Install the drivers, or be one."""
    if action == "install":
        if arguments:
            raise UsageError("install takes no arguments; --pattern names files")
        return _install(patterns or PATTERNS)
    return _diff(arguments) if action == "diff" else _merge(arguments)


# ── install ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _install(patterns: Sequence[str]) -> int:
    """Name the files in .gitattributes, which is committed, and the drivers in this clone's configuration."""
    root = Path(_git("rev-parse", "--show-toplevel"))
    # -P: nothing is imported from the folder that git calls it in, the repository: a branch could bring modules.
    program = f"{shlex.quote(sys.executable)} -P -m snaptable git"
    _git("config", "diff.snaptable.command", f"{program} diff")
    _git("config", "merge.snaptable.name", "snapshots by row and field")
    _git("config", "merge.snaptable.driver", f"{program} merge %O %A %B %P")
    path = root / ATTRIBUTES
    there = path.read_text(encoding="utf-8") if path.exists() else ""
    wanted = [f"{pattern} diff=snaptable merge=snaptable" for pattern in patterns]
    missing = [line for line in wanted if line not in there.splitlines()]
    if missing:
        begin = "" if not there or there.endswith("\n") else "\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(begin + "".join(f"{line}\n" for line in missing))
    say(f"{path}: {', '.join(patterns)}; commit it. Everybody who clones this calls the command once as well.")
    if output().as_json:
        output().document({"attributes": str(path), "patterns": list(patterns), "added": missing})
    return EXIT_SOUND


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except FileNotFoundError:
        raise UsageError("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise UsageError(f"git {arguments[0]}: {error.stderr.strip()}") from None
    return done.stdout.strip()


# ── what git calls ──────────────────────────────────────────────────────────────────────────────────────────────────


def _diff(arguments: Sequence[str]) -> int:
    """Write how a file differs, as git asks: path, old file, hash and mode, new file, hash and mode."""
    if len(arguments) < DIFF_ARGUMENTS:
        raise UsageError("this is called by git; install it by: snaptable git install")
    path, old, new = arguments[0], arguments[1], arguments[4]
    out = output()
    out.write(out.styled(f"snapshot {plain(path)}", "strong"))
    write_changes(out, changes_between(_read(old), _read(new)))
    return EXIT_SOUND


def _read(path: str) -> State:
    return State({}) if path == NO_FILE else State.read(path)


def _merge(arguments: Sequence[str]) -> int:
    """Merge a file, as git asks: base, ours (which is written), theirs, path; return 1 for a conflict."""
    if len(arguments) != 4:
        raise UsageError("this is called by git; install it by: snaptable git install")
    base, ours, theirs, path = arguments
    result = merged(State.read(base), State.read(ours), State.read(theirs))
    for each in result.conflicts:
        field = f"  {plain(each.field)}: {quoted(each.now)}, they {quoted(each.then)}" if each.field else ""
        sys.stderr.write(f"{plain(path)}: {plain(each.table)} {plain(str(each.key))}{field}  changed by both\n")
    if result.data is None:
        sys.stderr.write(
            f"{plain(path)}: {describe_number(len(result.conflicts), 'conflict')}; ours was left as it is\n"
        )
        return EXIT_FAILED
    problems = _problems(result.data)
    for problem in problems:
        sys.stderr.write(f"{plain(path)}: the merge does not fit the models: {plain(problem)}\n")
    if problems:
        return EXIT_FAILED
    Path(ours).write_bytes(result.data)
    return EXIT_SOUND


def _problems(data: bytes) -> list[str]:
    """Return what of a merge breaks the project's models, if it names them."""
    project = find_project()
    if not data or project is None or project.schema is None:
        return []
    models = load_schema(project.schema)
    assert models is not None
    return [problem.text for problem in validator_of(models)(data).problems]
