"""The command `demo`: serve one of the demos, or fill its store; the lesson also as a table on a terminal."""

import argparse
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from starlette.types import ASGIApp

from demos.chat import application as chat
from demos.chat import seed as chat_seed
from demos.chat.tables import Chat
from demos.chat.trials import between
from demos.lesson import application as lesson
from demos.lesson import seed as lesson_seed
from demos.lesson.running import Runner, table_of
from demos.serving import LOCAL, run
from demos.supervisor import Stop, supervise
from demos.tracker import application as tracker
from demos.tracker import seed as tracker_seed
from demos.tracker.tables import Tracker
from snaptable import Database, OpenError
from snaptable.web.server import bind

D = TypeVar("D", bound=Database)

DEMOS = ("lesson", "chat", "tracker")
DESCRIPTION = "Small applications on snaptable, each with its page and its data, to look at and to copy from."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 0 after a stop, 1 if it could not start."""
    parser = argparse.ArgumentParser(prog="demo", description=DESCRIPTION)
    parser.add_argument("name_of_demo", metavar="NAME", choices=DEMOS, help=", ".join(DEMOS))
    parser.add_argument("command", nargs="?", choices=["seed"], help="fill the store, and end; left out: serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; a demo has no login")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0 for any free one; default: 8000")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="default: data/demos/NAME")
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=sys.stdout.isatty(),
                        help="open the page in a browser; default: if this is a terminal")  # fmt: skip
    parser.add_argument("--text", action="store_true", help="of the lesson: run all lanes, and write a table")
    parser.add_argument("--visitors", action="store_true",
                        help="of the tracker: give each visitor their own copy, for an hour; the chat shows what "
                             "becomes of its own file, which a copy in memory doesn't have")  # fmt: skip
    parser.add_argument("--name", action="append", default=[], metavar="HOST",
                        help="of the tracker: a name that it may be asked by, besides this machine's")  # fmt: skip
    options = parser.parse_args(arguments)
    if (options.visitors or options.name) and options.name_of_demo != "tracker":
        parser.error("--visitors and --name are of the tracker; --help says why")
    options.data_dir = options.data_dir or Path("data", "demos", options.name_of_demo)
    try:
        return _COMMANDS[options.name_of_demo](options)
    except (OpenError, OSError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1


def _lesson(options: argparse.Namespace) -> int:
    _make_folder(options.data_dir)
    if options.command == "seed":
        counts = lesson_seed.seed(options.data_dir)
        sys.stdout.write(
            f"{options.data_dir / 'by-hand'}: {', '.join(f'{n} messages in {name}' for name, n in counts.items())}\n"
        )
        return 0
    if options.text:
        results = list(Runner(options.data_dir / "lanes").results())
        sys.stdout.write("\n".join(table_of(iter(results))) + "\n")
        return 0 if all(steps["ours"].held for _, steps in results) else 1
    _serve(options, lambda: lesson.create_app(options.data_dir, banner=False), "The lesson has seven lanes")
    return 0


def _chat(options: argparse.Namespace) -> int:
    counts = _filled(options, Chat(options.data_dir, banner=False), "conversations", chat_seed.seed)
    if options.command == "seed":
        sys.stdout.write(f"{options.data_dir}: {counts}\n")
        return 0
    if sys.platform == "win32":  # where a process can't be handed another one's socket
        _serve(options, lambda: chat.create_app(options.data_dir, banner=False), f"The chat has {counts}")
        return 0
    with bind(options.host, options.port) as listener:

        def serve(life: int, listener: socket.socket, stop: Stop) -> None:
            announce = partial(_announce, options, listener, f"The chat has {counts}") if life == 1 else None
            run(chat.create_app(options.data_dir, stop=stop, banner=False), listener, announce)

        return supervise(serve, listener, partial(between, options.data_dir.resolve()))


def _tracker(options: argparse.Namespace) -> int:
    counts = _filled(options, Tracker(options.data_dir, banner=False), "users", tracker_seed.seed)
    if options.command == "seed":
        sys.stdout.write(f"{options.data_dir}: {counts}\n")
        return 0
    create = tracker.visited_app if options.visitors else tracker.create_app
    hosts = (*LOCAL, *options.name)
    _serve(options, lambda: create(options.data_dir, hosts=hosts, banner=False), f"The tracker has {counts}")
    return 0


def _filled(options: argparse.Namespace, db: D, first: str, seed: Callable[[D], None]) -> str:
    """Return how many rows each table has, after rows to begin with were put in if its first table had none."""
    _make_folder(options.data_dir)
    with db:
        if not db.tables[first].count():
            seed(db)
        return ", ".join(f"{number} {name}" for name, number in db.status().rows.items())


def _make_folder(folder: Path) -> None:
    """Make the folders above a store's; the store makes its own."""
    folder.resolve().parent.mkdir(parents=True, exist_ok=True)


def _serve(options: argparse.Namespace, create_app: Callable[[], ASGIApp], what: str) -> None:
    with bind(options.host, options.port) as listener:
        run(create_app(), listener, partial(_announce, options, listener, what))


def _announce(options: argparse.Namespace, listener: socket.socket, what: str) -> None:
    """Tell where the page and the data are, and open the page if that is wanted; called once the server answers."""
    address = f"http://{options.host}:{listener.getsockname()[1]}"
    sys.stdout.write(f"\n{what}; Ctrl+C stops it.\n  Page  {address}/\n  Data  {options.data_dir.resolve()}\n\n")
    sys.stdout.flush()
    if options.open:
        # Not in the event loop: a browser in a terminal returns when it is left, and asks this server until then.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"lesson": _lesson, "chat": _chat, "tracker": _tracker}

if __name__ == "__main__":
    raise SystemExit(main())
