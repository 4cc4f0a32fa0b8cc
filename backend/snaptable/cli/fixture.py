"""`snaptable fixture TABLE KEY… --at MOMENT`: rows as they were, as a file, and a test that opens it."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from snaptable.cli.carrying import Closure, closure_of
from snaptable.cli.common import EXIT_SOUND, UsageError, describe_counts, output, say
from snaptable.cli.looking import WantedState, check_table, key_in, looking_at
from snaptable.cli.settings import schema_of, store_of
from snaptable.history.fields import Fields
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.raw_store import RawStore
from snaptable.secrets import MASK

FOLDER = "tests/fixtures"
DEFAULT_MODELS = "app.main:Library"
_MODELS = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_UNSAFE = re.compile(r"[\\\"\x00-\x1f\x7f-\x9f]")
"""What a key, or a store's own word for its models, must not bring into a test that somebody runs."""
TEST = '''"""{about}: cut out by `snaptable fixture`. Say what should be true of it."""

import shutil
from pathlib import Path

{importing}

FIXTURE = Path(__file__).with_name({file})


def test_{name}(tmp_path: Path) -> None:
    """{about} is what it should be."""
    shutil.copyfile(FIXTURE, tmp_path / "db_snapshot.json")
    with {database}(tmp_path, banner=False) as db:
        assert db.check() == []
        row = db.{table}[{key!r}]
        assert row == "what should be true"  # it broke here
'''


def run(
    *,
    table: str,
    keys: tuple[str, ...],
    at: WantedState | None,
    store: str | None,
    schema: str | None,
    file: str | None,
    referring: bool,
    has_test: bool,
    overwrite: bool,
) -> int:
    """Cut the rows, what they refer to and what refers to them; write them, and a test that opens them."""
    with looking_at(store, at) as contents:
        check_table(contents, table)
        named = [key_in(contents, table, key) for key in keys]
        closure = closure_of(contents, table, named, referring=referring)
        data = contents.snapshot_of(_told_apart(contents, closure.rows))
        is_numbered = contents.schema(table).key_type is int
        sequence = contents.sequence
    for line in closure.missing:
        say(f"  {line}")
    path = Path(file) if file else Path(FOLDER, f"{table}-{_safe(named[0], '-')}.json")
    files = {path: data}
    if has_test:
        first: object = int(named[0]) if is_numbered else named[0]
        about = f"{table} {', '.join(named)} as of commit {sequence}"
        test = _test(path, about, table, first, _models(store, schema))
        files[path.with_name(f"test_{_safe(path.stem, '_')}.py")] = test.encode()
    _write(files, overwrite=overwrite)
    _say_written(files, closure, sequence)
    return EXIT_SOUND


def _say_written(files: Collection[Path], closure: Closure, sequence: int) -> None:
    for each in files:
        say(str(each))
    say(f"  {describe_counts(closure.counts)}, as of commit {sequence}; secrets are masked")
    if output().as_json:
        written = [str(each) for each in files]
        output().document({"files": written, "sequence": sequence, "rows": closure.counts, "missing": closure.missing})


def _told_apart(store: RawStore, rows: Mapping[str, Mapping[str, Fields]]) -> dict[str, dict[str, Fields]]:
    """Return rows whose masked secrets differ: a secret may be one of which each row has its own."""
    result: dict[str, dict[str, Fields]] = {}
    for table, of_table in rows.items():
        secrets = store.schema(table).secrets
        result[table] = {
            key: {name: _numbered(value, number) if name in secrets else value for name, value in row.items()}
            for number, (key, row) in enumerate(of_table.items(), 1)
        }
    return result


def _numbered(value: object, number: int) -> object:
    return f"{MASK} {number}" if value == MASK and number > 1 else value


def _models(store: str | None, schema: str | None) -> str:
    """Return the Database class as `module:Class`, as far as it is known."""
    place = store_of(store)
    named = schema_of(schema, place)
    if named is None and Path(place).is_dir():
        named = StoreDirectory(place).last_models()
    return named or DEFAULT_MODELS


def _test(path: Path, about: str, table: str, key: object, models: str) -> str:
    match = _MODELS.fullmatch(models) or _MODELS.fullmatch(DEFAULT_MODELS)
    assert match is not None
    module, database = match.groups()
    return TEST.format(
        about=_UNSAFE.sub("_", about),
        importing=f"from {module} import {database}",
        file=json.dumps(path.name),
        name=_safe(path.stem, "_"),
        database=database,
        table=table if table.isidentifier() else f"tables[{table!r}]",
        key=key,
    )


def _safe(text: str, instead: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", instead, text).strip(instead) or "row"


def _write(files: Mapping[Path, bytes], *, overwrite: bool) -> None:
    for path in files:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already; --overwrite replaces it")
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
