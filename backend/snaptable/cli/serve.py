"""`snaptable serve MODULE:CLASS | FILE.json`: REST, feed, monitoring and admin for a database, in one command."""

import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from snaptable import Database
from snaptable.cli.common import EXIT_SOUND, UsageError, describe_number, output, say
from snaptable.cli.output import Output, plain
from snaptable.cli.schema_option import load_schema
from snaptable.cli.served.inference import InferredTable
from snaptable.cli.served.taking_over import TakenOver, fill, take_over
from snaptable.cli.settings import store_of

if TYPE_CHECKING:
    from snaptable.web.server import GuardedServer

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def run(
    *,
    target: str,
    store: str | None,
    host: str,
    port: int,
    names: Sequence[str],
    admin: bool,
    open_browser: bool,
    save_models: str | None,
) -> int:
    """Serve until Ctrl-C."""
    if _is_file(target):
        if not Path(target).is_file():
            raise UsageError(f"{target} is not a file that is there")
        taken = take_over(target, store)
        _describe(taken)
        if save_models is not None:
            _save(Path(save_models), taken.text)
        return _serve(_filled(taken), taken.file.name, host, port, names, admin=admin, open_browser=open_browser)
    if save_models is not None:
        raise UsageError("--save-models writes what was inferred from a FILE.json; a class has its models already")
    if ":" not in target:
        raise UsageError(f"{target!r} is neither a file that is there nor MODULE:CLASS, e.g. app.main:Library")
    models = load_schema(target, "serve")
    assert models is not None
    place = store_of(store)
    return _serve(
        models(place, banner=False), models.__name__, host, port, names, admin=admin, open_browser=open_browser
    )


def _is_file(target: str) -> bool:
    return target.lower().endswith((".json", ".jsonl", ".csv", ".sqlite", ".db")) or Path(target).is_file()


def _filled(taken: TakenOver) -> Database:
    """Return the database of a file, closed; its rows are taken over, if that wasn't done before."""
    database = taken.models(taken.store, banner=False)
    if taken.is_new:
        with database:
            count = fill(database, taken.inferred.tables, taken.file)
        say(f"{describe_number(count, 'row')} taken over into {taken.store}/; {taken.file.name} stays as it is.")
    else:
        say(
            f"Served from {taken.store}/, which has the changes since; remove it to begin with {taken.file.name} again."
        )
    return database


def _save(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already; nothing is replaced") from None
    say(f"The models are in {path}: snaptable serve {path.stem}:Served -s …")


# ── what was inferred ───────────────────────────────────────────────────────────────────────────────────────────────


def _describe(taken: TakenOver) -> None:
    tables = taken.inferred.tables
    rows = sum(len(table.records) for table in tables)
    say(f"{taken.file}: {describe_number(len(tables), 'table')}, {describe_number(rows, 'row')}")
    width = max(len(table.name) for table in tables)
    for table in tables:
        say(f"  {plain(table.name).ljust(width)}  {len(table.records):>6,}  {' · '.join(_facts(table))}")
    for note in taken.inferred.notes:
        say(f"  {plain(note)}")


def _facts(table: InferredTable) -> list[str]:
    """Return what was inferred of a table, in words."""
    kind = "numbers" if table.is_numbered else "texts"
    facts = [f"key {table.key or 'id'} ({kind})"]
    facts += [f"{each.name} → {each.target}" for each in table.fields if each.target is not None]
    facts += [f"{each.name} unique" for each in table.fields if each.is_unique]
    facts += [f"{each.name} {each.kind}" for each in table.fields if each.kind in ("date", "datetime")]
    return facts


# ── serving ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _serve(
    db: Database, title: str, host: str, port: int, names: Sequence[str], *, admin: bool, open_browser: bool
) -> int:
    import uvicorn

    from snaptable.cli.served.application import application
    from snaptable.web.server import GuardedServer, bind, server_settings

    app, entrance = application(db, title=title, hosts=[*names, *([] if host in LOOPBACK else ["*"])], admin=admin)
    listener = bind(host, port)
    with ExitStack() as stack:
        stack.callback(listener.close)
        stack.enter_context(db)  # here, so that a store that can't be opened is told as by any command
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{'localhost' if host in ('0.0.0.0', '::') else shown}:{listener.getsockname()[1]}"  # noqa: S104
        config = uvicorn.Config(app, host=host, log_level="warning", access_log=False, **server_settings())
        server = GuardedServer(config)
        told = threading.Thread(
            target=_tell_when_started,
            args=(server, db, url, entrance, output()),
            kwargs={"opens": open_browser},
            daemon=True,
        )
        told.start()
        server.run(sockets=[listener])
    return EXIT_SOUND


def _tell_when_started(
    server: "GuardedServer", db: Database, url: str, entrance: str | None, out: Output, *, opens: bool
) -> None:
    """Say where it is, once it is there; in a thread, which knows no command's options."""
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    page = f"{url}{entrance}" if entrance else f"{url}/"
    if out.as_json:
        store = None if db.directory is None else str(db.directory)  # a server's URL may have its password
        out.document({"url": url, "admin": page if entrance else None, "tables": list(db.tables), "store": store})
    else:
        tables = " ".join(f"/{name}" for name in db.tables)
        out.say(f"\n{out.styled(url, 'strong')}  {tables}  /docs /changes /health")
        if entrance:
            out.say(f"admin  {page}")
        who = "on this machine" if server.config.host in LOOPBACK else "who can reach it"
        out.say(f"Anybody {who} may read and write here. Ctrl-C stops it.")
    sys.stdout.flush()
    if opens:
        import webbrowser

        webbrowser.open(page)
