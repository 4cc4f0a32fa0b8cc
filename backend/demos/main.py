"""The command `demo`: serve one of the demos, or fill its store; the lesson also as a table on a terminal."""

import argparse
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from demos.serving import run
from demos.tracker import application as tracker
from demos.tracker import seed as tracker_seed
from demos.tracker.tables import Tracker
from snaptable import OpenError
from snaptable.web.server import bind

DEMOS = ("lesson", "chat", "tracker")
DESCRIPTION = "Small applications on snaptable, each with its page and its data, to look at and to copy from."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 0 after a stop, 1 if it could not start."""
    parser = argparse.ArgumentParser(prog="demo", description=DESCRIPTION)
    parser.add_argument("name", choices=DEMOS)
    parser.add_argument("command", nargs="?", choices=["seed"], help="fill the store, and end; left out: serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; a demo has no login")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0 for any free one; default: 8000")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="default: data/demos/NAME")
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=sys.stdout.isatty(),
                        help="open the page in a browser; default: if this is a terminal")  # fmt: skip
    options = parser.parse_args(arguments)
    options.data_dir = options.data_dir or Path("data", "demos", options.name)
    try:
        return _COMMANDS[options.name](options)
    except (OpenError, OSError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1


def _tracker(options: argparse.Namespace) -> int:
    _make_folder(options.data_dir)
    with Tracker(options.data_dir, banner=False) as db:
        if not db.users.count():
            tracker_seed.seed(db)
        counts = ", ".join(f"{number} {name}" for name, number in db.status().rows.items())
    if options.command == "seed":
        sys.stdout.write(f"{options.data_dir}: {counts}\n")
        return 0
    _serve(options, lambda: tracker.create_app(options.data_dir, banner=False), f"The tracker has {counts}")
    return 0


def _make_folder(folder: Path) -> None:
    """Make the folders above a store's; the store makes its own."""
    folder.resolve().parent.mkdir(parents=True, exist_ok=True)


def _serve(options: argparse.Namespace, create_app: Callable[[], object], what: str) -> None:
    with bind(options.host, options.port) as listener:
        address = f"http://{options.host}:{listener.getsockname()[1]}"
        if options.open:
            webbrowser.open(address)
        text = f"\n{what}; Ctrl+C stops it.\n  Page  {address}/\n  Data  {options.data_dir.resolve()}\n\n"
        run(create_app(), listener, text)  # type: ignore[arg-type]


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {"tracker": _tracker}

if __name__ == "__main__":
    raise SystemExit(main())
