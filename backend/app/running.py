"""What the command `backend` does: serve a store until told to stop, or check it. Returns the exit status."""

import socket
import sys
from collections.abc import Callable
from functools import partial

from fastapi import FastAPI

from app.api.application import create_app
from app.library import Library
from app.logs import log_to_standard_error
from app.place import ALONE, Place
from app.resources import Resources
from app.server import check_tls, serve, write
from app.settings import Settings
from app.workers import Workers
from snaptable import BackupError, OpenError, StoreLocked
from snaptable.storage.disk.files import resolve
from snaptable.web.server import bind

LOCKED = "one process writes to a directory: run one worker, stop the other process, or take another --data-dir"

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def run_server(settings: Settings) -> int:
    """Serve until told to stop, and return the exit status: 0 after a stop, 1 if it could not start."""
    log_to_standard_error(settings.log_format)
    try:
        check_tls(settings)
        with bind(settings.host, settings.port) as listener:
            resources = Resources(settings)
            if settings.workers == 1:
                return _serve(resources, None, ALONE, listener, write)
            # Made once: workers are forks, and another one is there within a tenth of a second.
            app = create_app(resources=resources)
            seconds = settings.shutdown_seconds
            return Workers(settings.workers, partial(_serve, resources, app), listener, stop_seconds=seconds).run()
    except OSError as error:
        return _fail(str(error))


def _serve(
    resources: Resources, app: FastAPI | None, place: Place, listener: socket.socket, tell: Callable[[str], None]
) -> int:
    """Serve on a socket until told to stop, say where once that is so, and return the exit status."""
    resources.place = place
    try:
        resources.open()
        serve(create_app(resources=resources) if app is None else app, listener, tell)
    except StoreLocked as error:
        # What the library advises after the semicolon, to open it read-only, is not for a server.
        holder, _, _ = str(error).partition("; ")
        return _fail(f"cannot open the store: {holder}; {LOCKED}")
    except OpenError as error:
        return _fail(f"cannot open the store: {error}")
    except BackupError as error:
        return _fail(f"backups can't be made: {error}")
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:  # while the store was being opened: the server itself stops in order
        return EXIT_INTERRUPTED
    finally:
        resources.close_sync()
    return 0


def run_check(settings: Settings) -> int:
    """Write what is wrong with the store, a problem a line, and return the exit status: 0 if all is sound, else 1."""
    log_to_standard_error(settings.log_format)
    try:
        with Library(settings.database_url or settings.data_dir, read_only=True, banner=False) as db:
            if db.is_on_server:
                db.files_directory = resolve(settings.data_dir)
            problems = db.check()
            documents = db.documents.count()
    except OpenError as error:
        return _fail(f"cannot open the store: {error}")
    summary = f"{len(problems)} problems" if problems else "sound"
    lines = [f"{settings.data_dir}: {summary}; {documents} documents verified", *(f"  {line}" for line in problems)]
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_FAILED if problems else 0


def _fail(reason: str) -> int:
    """Write in one line why the server did not start, and return the exit status."""
    sys.stderr.write(f"backend: {reason}\n")
    return EXIT_FAILED
