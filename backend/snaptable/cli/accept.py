"""`snaptable accept DIR`: accept what was edited or put back in `db_snapshot.json` while the store was closed."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby

from snaptable import Database
from snaptable.cli.common import (
    EXIT_FAILED,
    EXIT_SOUND,
    UsageError,
    ask,
    describe_counts,
    describe_number,
    output,
    say,
)
from snaptable.cli.schema_option import load_last, load_schema
from snaptable.cli.settings import schema_of
from snaptable.maintenance.acceptance import accept_edit, discard_edit
from snaptable.maintenance.differences import Difference
from snaptable.maintenance.directory import QUARANTINE, SNAPSHOT, StoreDirectory
from snaptable.maintenance.edit import Edit
from snaptable.maintenance.external_edit import examine, examine_discarding
from snaptable.maintenance.models import validator_of
from snaptable.maintenance.untyped import UntypedStore
from snaptable.secrets import MASK, masked

Secrets = Mapping[str, Collection[str]]
"""The names of secret fields, by table."""
WIDTH = 80
"""Characters that are shown of a value."""
MAX_ROWS = 20
"""Changed rows that are shown of each table, without --all."""


def run(*, store: str, schema: str | None, yes: bool, every: bool, discard: bool) -> int:
    """Show the edit, ask, accept or discard it; return 0 if the snapshot is as the library writes it now."""
    directory = StoreDirectory(store)
    models, last = load_schema(schema_of(schema, store)), directory.last_models()
    with directory.locked():
        data = directory.read_snapshot()
        if data is None:
            raise UsageError(f"there is no {SNAPSHOT} in {directory.root}; see {directory.command('repair')}")
        if discard:
            return _discard(directory, data, yes=yes)
        edit, checked = examine(directory.files, data, validator_of(models) if models else None), ""
        if edit is None:
            return _say_no_edit(directory)
        if models is None:
            # Imported only now that there is an edit, and while the lock keeps the module from opening the store.
            models, checked = load_last(last)
            edit = examine(directory.files, data, validator_of(models)) if models else edit
        assert edit is not None
        if models is None:
            say(f"Warning: {checked}")
            say("If rows break them, the store will be refused when it is opened.")
        elif checked:
            say(checked)
        secrets = _secrets_of(edit, models)
        _print_edit(directory, edit, secrets, None if every else MAX_ROWS)
        if not ask("Take it over?", yes=yes):
            return EXIT_FAILED
        kept = accept_edit(directory.files, edit)
        for name in kept:
            say(f"  kept      {name}")
    return _say_done(edit.store, kept, edit.differences, secrets)


def _discard(directory: StoreDirectory, data: bytes, *, yes: bool) -> int:
    """Say what discarding the file would leave, ask, and do it."""
    store = examine_discarding(directory.files, data)
    if store is None:
        return _say_no_edit(directory)
    say(f"{directory.snapshot_path} is set aside in {QUARANTINE}/, and written anew from the journal:")
    say(f"  result    sequence {store.sequence}, {describe_counts(store.counts())}")
    if not ask("Discard it?", yes=yes):
        return EXIT_FAILED
    kept = discard_edit(directory.files, data, store)
    for name in kept:
        say(f"  kept      {name}")
    return _say_done(store, kept)


def _say_no_edit(directory: StoreDirectory) -> int:
    say(f"{directory.snapshot_path} is as it was written: there is no edit to take over.")
    if output().as_json:
        output().document({"accepted": False, "reason": "there is no edit to take over"})
    return EXIT_SOUND


def _say_done(
    store: UntypedStore, kept: Sequence[str], differences: Sequence[Difference] = (), secrets: Secrets | None = None
) -> int:
    say(f"Done: the store is at sequence {store.sequence}, {describe_counts(store.counts())}.")
    if output().as_json:
        changes = [_json_of(difference, (secrets or {}).get(difference.table, ())) for difference in differences]
        output().document(
            {
                "accepted": True,
                "sequence": store.sequence,
                "rows": store.counts(),
                "kept": list(kept),
                "changes": changes,
            }
        )
    return EXIT_SOUND


def _json_of(difference: Difference, secrets: Collection[str]) -> dict[str, object]:
    kind = {"added": "insert", "removed": "delete", "changed": "replace"}[_kind_of(difference)]
    before, after = (
        None if row is None else masked(json.loads(row), secrets) for row in (difference.before, difference.after)
    )
    return {"table": difference.table, "key": difference.key, "kind": kind, "before": before, "after": after}


# ── the difference ──────────────────────────────────────────────────────────────────────────────────────────────────


def _secrets_of(edit: Edit, models: type[Database] | None) -> Secrets:
    """Return the fields that are never shown, by table, as the snapshot and the models name them."""
    marks = edit.store.pages.marks
    named: dict[str, set[str]] = {table: set(names) for table, names in marks.secret.items()} if marks else {}
    for table, schema in (models.__schemas__ if models else {}).items():
        named.setdefault(table, set()).update(schema.secrets)
    return named


def _print_edit(directory: StoreDirectory, edit: Edit, secrets: Secrets, most: int | None) -> None:
    """Print what was changed, at most `most` rows of each table, without secrets."""
    path = directory.snapshot_path
    if not edit.is_base_known:
        say(f"{path} was edited. The journal doesn't reach back to the start, so only the new content can be shown:")
        say(f"  {describe_counts(edit.store.counts())}")
        say(f"A new journal begins; the old one is set aside in {QUARANTINE}/.")
        return
    if edit.put_back:
        sequence, saved_at = edit.put_back
        commits = describe_number(edit.newer_commits, "newer commit")
        say(f"{path} was put back: it holds sequence {sequence}, saved {saved_at}.")
        say(f"Going back to it takes back what {commits} changed, by a new commit; the history stays.")
    if not edit.differences:
        say("No row differs." if edit.put_back else f"{path} was laid out anew; no row was changed.")
    for table, differences in groupby(edit.differences, key=lambda difference: difference.table):
        _print_table(table, list(differences), secrets.get(table, ()), most)
    if edit.newer_commits and not edit.put_back:
        commits = describe_number(edit.newer_commits, "commit")
        say(f"{commits} of the journal that the file didn't hold yet {'stays' if edit.newer_commits == 1 else 'stay'}.")


def _print_table(table: str, differences: Sequence[Difference], secrets: Collection[str], most: int | None) -> None:
    kinds = Counter(_kind_of(difference) for difference in differences)
    say(f"{table}: {', '.join(f'{kinds[kind]:,} {kind}' for kind in ('changed', 'added', 'removed') if kinds[kind])}")
    for difference in differences[:most]:
        for line in _describe_row(difference, secrets):
            say(f"  {line}")
    if most is not None and len(differences) > most:
        say(f"  … and {len(differences) - most:,} more; --all shows them")


def _kind_of(difference: Difference) -> str:
    if difference.before is None:
        return "added"
    return "removed" if difference.after is None else "changed"


def _describe_row(difference: Difference, secrets: Collection[str]) -> Iterator[str]:
    key = _shorten(json.dumps(difference.key, ensure_ascii=False))
    if difference.after is None:
        yield f"- {key}"
    elif difference.before is None:
        yield f"+ {key}: {_shorten(json.dumps(masked(json.loads(difference.after), secrets), ensure_ascii=False))}"
    else:
        yield f"~ {key}"
        for change in difference.fields:
            before, after = (_shown(text, is_secret=change.name in secrets) for text in (change.before, change.after))
            before, after = before or "(not there)", after or "(gone)"
            yield f"    {change.name}: {before} -> {after}"


def _shown(text: str | None, *, is_secret: bool) -> str | None:
    return MASK if is_secret and text not in (None, "null") else text if text is None else _shorten(text)


def _shorten(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
