"""Pictures of every page of the admin, light, dark and on a phone: `python -m tests.snaptable.admin.screenshots DIR`.

With `--readme` in place of DIR the four that the pages for readers show are made anew, in their place; Pillow makes
them small (`uv run --with pillow python -m …`).
Needs chromium (`CHROMIUM` names another one than /usr/bin/chromium). The store is made anew, the same each time.
"""

import argparse
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright
from tests.snaptable.admin.browsing import chromium_path
from tests.snaptable.admin.library import Library

from snaptable import Database, attribution
from snaptable.admin import mount_admin

SIZES = {"light": (1440, 900), "dark": (1440, 900), "phone": (500, 900)}
OF_README = {
    "table": ("drawer", "light"),
    "history": ("history", "light"),
    "time": ("time", "dark"),
    "file": ("file", "dark"),
}
"""The four by their file's name: which page, and in which look."""
PICTURES = Path(__file__).parents[3] / "backend" / "snaptable" / "admin" / "pictures"
README_SIZE = (1040, 600)
NAMES = ("contract", "invoice", "letter", "minutes", "notes", "offer", "report", "review", "summary", "survey")


def fill(db: Library) -> None:
    """Add users, documents and marks, then a day's worth of changes by several people."""
    chance = random.Random(7)
    db.users.insert_many([db.users.model(id=f"u{n:03}", email=f"{NAMES[n % 10]}.{n}@example.org") for n in range(60)])
    document, mark = db.documents.model, db.marks.model
    rows = []
    for n in range(400):
        key, pages, tags = f"{chance.getrandbits(64):016x}-{n:04}", chance.randint(1, 90), ("urgent",) * (n % 4 == 0)
        name = f"{NAMES[n % 10]}-{n}.pdf"
        rows.append(document(id=key, user_id=f"u{n % 60:03}", filename=name, pages=pages, tags=tags))
    db.documents.insert_many(rows)
    keys = [each.id for each in db.documents]
    db.marks.insert_many([mark(document_id=keys[n % 400], text=f"please check {n}") for n in range(900)])
    people = ("ada@example.org", "grace@example.org", "api", "import")
    for n in range(180):
        with attribution(actor=people[n % 4], via="PATCH /api/documents/{id}" if n % 3 else "admin"):
            if n % 5 == 4:
                db.marks.update(n + 1, text=f"edited {n}")
            elif n % 17 == 3:
                db.users.update(f"u{n % 60:03}", role="admin")
            else:
                db.documents.update(
                    keys[n], pages=chance.randint(1, 90), note=f"seen by {people[n % 4]}" if n % 2 else None
                )
    with attribution(actor="ada@example.org", note="spring batch", via="import"):
        db.documents.insert_many([document(user_id="u001", filename=f"spring-{n}.pdf", pages=n) for n in range(12)])
    with attribution(actor="grace@example.org", via="admin"):
        db.documents.delete(keys[7])


def edit_outside(db: Library) -> None:
    """Change a row in the file, as an editor would, and let the store go on."""
    assert db.directory is not None
    path = db.directory / "db_snapshot.json"
    path.write_bytes(path.read_bytes().replace(b"invoice-21.pdf", b"invoice-21-signed.pdf"))
    db.users.update("u002", role="admin")
    db.persist()


@contextmanager
def serving(db: Database, **options: Any) -> Iterator[str]:
    """Serve the admin of a database that is open, and give the address that lets in."""
    app = FastAPI()
    site = mount_admin(app, db, announce=False, **options)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{site.link}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def served(**options: Any) -> Iterator[tuple[Library, str]]:
    """Serve the admin of a store that is filled, and give the address that lets in."""
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder) / "data", fsync=False, banner=False) as db:
        fill(db)
        edit_outside(db)
        with serving(db, backup_dir=str(Path(folder) / "backups"), **options) as link:
            yield db, link


def pages_of(db: Library) -> dict[str, str]:
    """Return the pages by name, as addresses below the admin's."""
    last = db.history.sequence
    document = next(iter(db.documents.where(filename="letter-2.pdf")))
    return {
        "overview": "/",
        "table": "/tables/documents",
        "filtered": "/tables/documents?pages__gte=40&tags__has=urgent&sort=-pages",
        "row": f"/tables/documents/row?key={document.id}",
        "drawer": f"/tables/documents?row={document.id}",
        "new": "/tables/documents/new",
        "commit": f"/commits/{last - 3}",
        "history": "/history",
        "history-of-a-row": f"/history?table=documents&key={document.id}",
        "time": f"/time?from={last - 60}",
        "time-table": f"/time?from={last - 60}&table=documents",
        "restore": f"/time/restore?at={last - 60}",
        "file": "/file?find=letter-2.pdf",
        "import": "/import",
        "export": "/export",
        "backups": "/backups",
    }


def take(
    browser: Browser, link: str, address: str, look: str, target: Path, size: tuple[int, int] | None = None
) -> Path:
    """Take a picture of a page in one look; of a row beside its table, with what happened to it."""
    width, height = size or SIZES[look]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="light" if look == "light" else "dark",
        has_touch=look == "phone", reduced_motion="reduce",
    )  # fmt: skip
    page: Page = context.new_page()
    page.goto(link)
    page.wait_for_url("**/admin/")
    page.goto(link.partition("/admin")[0] + "/admin" + address)
    page.wait_for_timeout(150)
    if size is not None and "?row=" in address:
        page.locator('.tabs a[href="#history"]').click()
    page.screenshot(path=target)
    context.close()
    return target


def make_small(picture: Path) -> None:
    """Write a picture again with the 192 colours that suit it best: a third of the bytes, to the eye the same."""
    from importlib import import_module

    image: Any = import_module("PIL.Image").open(picture).convert("RGB")
    image.quantize(192, kmeans=2, dither=0).save(picture, optimize=True)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("folder", type=Path, nargs="?")
    where.add_argument("--readme", action="store_true", help="the four of the pages for readers, in their place")
    parser.add_argument("--only", nargs="*", help="names of pages")
    parser.add_argument("--looks", nargs="*", default=list(SIZES), choices=list(SIZES))
    given = parser.parse_args()
    (folder := PICTURES if given.readme else given.folder).mkdir(parents=True, exist_ok=True)
    with served() as (db, link), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        db.backup(Path(db.url).parent / "backups")
        pages = pages_of(db)
        for file, (name, look) in OF_README.items() if given.readme else ():
            make_small(take(browser, link, pages[name], look, folder / f"{file}.png", README_SIZE))
        for name, address in pages.items() if not given.readme else ():
            for look in given.looks if not given.only or name in given.only else ():
                sys.stdout.write(f"{take(browser, link, address, look, folder / f'{name}-{look}.png')}\n")
        browser.close()


if __name__ == "__main__":
    main()
