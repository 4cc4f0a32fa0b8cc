"""The file: `db_snapshot.json` by lines, found by bytes, key and number; and what others wrote into it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from snaptable import SnaptableError, UndoConflict
from snaptable.admin import outside_edits
from snaptable.admin.file_lines import NAME, FileLines, Line, opened
from snaptable.admin.numbers import number_in
from snaptable.admin.outside_edits import OutsideEdit
from snaptable.admin.past_shown import in_words, visible
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.errors import Conflict
from snaptable.history import Change

PAGE = 100
"""Lines of a page."""
BEFORE = 12
"""Lines above the one that was asked for."""
SHOWN_CHANGES = 50
MAX_NEEDLE = 200
CHUNK = 1 << 18


def add_to(site: Site) -> None:
    """Add the page."""
    site.add_nav(NavItem("file", "The file", "/file", "file", 40))
    site.get("/file", show)
    site.post("/file/download", download)
    site.post("/file/take-over", take_over)
    site.post("/file/discard", discard)


def show(visit: Visit) -> Response:
    """Show lines of the file."""
    return _page(visit)


def _page(
    visit: Visit, status: int = 200, error: str | None = None, conflicts: list[tuple[Conflict, str]] | None = None
) -> Response:
    directory = visit.db.directory
    values: dict[str, object] = {"lines": None, "message": None, "next_hit": None, "find": visit.query.get("find", "")}
    if directory is not None:
        try:
            with visit.timed("lines"), opened(directory, _shown(visit)) as file:
                values |= _lines(visit, file)
        except (OSError, ValueError):
            values["message"] = "There is no db_snapshot.json yet, or it can't be read."
    edits = [] if directory is None else _edits(visit, directory)
    return visit.render(
        "file.html",
        status,
        active="file",
        directory=directory,
        name=NAME,
        edits=edits,
        error=error,
        conflicts=conflicts or [],
        all_shown=visit.site.shows_all,
        **values,
    )


def _shown(visit: Visit) -> dict[str, frozenset[str]]:
    return {name: table.schema.secrets for name, table in visit.site.tables.items()}


def _lines(visit: Visit, file: FileLines) -> dict[str, object]:
    """Return the lines that an address asks for, and what a search found."""
    values: dict[str, object] = {
        "count": file.count,
        "size": file.size,
        "message": None,
        "here": None,
        "next_hit": None,
    }
    needle, after = visit.query.get("find", "").strip()[:MAX_NEEDLE], _number(visit.query.get("after", ""))
    line, begin = _number(visit.query.get("line", "")), _number(visit.query.get("from", ""))
    if needle:
        line, values["message"], values["next_hit"] = _search(visit, file, needle, after)
    if line:
        line = min(line, file.count)
        begin = max(1, line - BEFORE)
    begin = max(1, min(begin or 1, max(1, file.count - 1)))
    values["here"], values["begin"], values["needle"] = line, begin, needle
    values["lines"] = [(each, _marked(each, needle)) for each in file.lines(begin, PAGE)]
    values["earlier"] = max(1, begin - PAGE) if begin > 1 else None
    values["later"] = begin + PAGE if begin + PAGE <= file.count else None
    return values


def _search(visit: Visit, file: FileLines, needle: str, after: int) -> tuple[int, str | None, str | None]:
    """Return the line that a text leads to (0 for none), what is to be said, and the address of the next one."""
    number = number_in(needle.removeprefix(":"), digits=14 - needle.startswith(":"))
    if number is not None and not after and file.find_key(needle) is None:
        past_end = number > file.count
        return number, f"The file has {file.count:,} lines." if past_end else None, None
    key_line = None if after else file.find_key(needle.removeprefix(":"))
    if key_line is not None:
        return (
            key_line,
            f"The row with this key, on line {key_line:,}.",
            visit.url("/file", find=needle, after=key_line),
        )
    with visit.timed("find"):
        hit = file.find(needle, after)
    following = None
    if hit.line is not None:
        following = visit.url("/file", find=needle, after=hit.line)
        return hit.line, f"On line {hit.line:,}.", following
    if hit.looked_to is not None:
        following = visit.url("/file", find=needle, after=hit.looked_to)
        return hit.looked_to, f"Not found up to line {hit.looked_to:,}: go on.", following
    return after, "Nothing more has these bytes." if after else "Nothing that is shown has these bytes.", None


def _number(text: str) -> int:
    return number_in(text, digits=15) or 0


def _marked(line: Line, needle: str) -> tuple[str, str, str]:
    """Return a line's text in three parts, of which the second was found."""
    place = line.text.find(needle) if needle else -1
    if place < 0:
        return line.text, "", ""
    return line.text[:place], line.text[place : place + len(needle)], line.text[place + len(needle) :]


# ── what others wrote ───────────────────────────────────────────────────────────────────────────────────────────────


def _edits(visit: Visit, directory: Path) -> list[dict[str, object]]:
    """Return the newest edit that waits, with what it changed, and how many others there are."""
    names = outside_edits.waiting(directory)
    edits = []
    for name in names[:1]:
        edit = outside_edits.look_at(visit.db, directory, name)
        changes = visible(visit.site, edit.changes)
        spans = [(change, _spans(change)) for change in changes[:SHOWN_CHANGES]]
        edits.append(
            {"edit": edit, "changes": spans, "count": len(changes), "others": len(names) - 1, "tables": _tables(edit)}
        )
    return edits


def _tables(edit: OutsideEdit) -> str:
    return ", ".join(dict.fromkeys(change.table for change in edit.changes))


def _spans(change: Change) -> list[tuple[str, tuple[str, str, str]]]:
    """Return the lines before and after, "was" and "is", each with what is different in the middle."""
    texts = [
        "" if row is None else json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        for row in (change.before, change.after)
    ]
    first, second = texts
    begin = next((place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    most = min(len(first), len(second)) - begin
    end = next((n for n in range(most) if first[len(first) - 1 - n] != second[len(second) - 1 - n]), max(most, 0))
    head = f'"{change.key}": '
    return [
        (kind, (head + text[:begin], text[begin : len(text) - end], text[len(text) - end :]))
        for kind, text in (("was", first), ("is", second))
        if text
    ]


def take_over(visit: Visit) -> Response:
    """Carry an edit out on the present rows."""
    directory, name = _edit_named(visit)
    try:
        revert = outside_edits.take_over(visit.db, directory, name)
    except UndoConflict as error:
        if not error.conflicts:
            return _page(visit, 409, str(error))
        return _page(visit, 409, conflicts=[(each, in_words(each)) for each in error.conflicts])
    except SnaptableError as error:
        return _page(visit, 409, str(error))
    outside_edits.dismiss(directory, name)
    return visit.redirect("/file", done=revert.commit)


def discard(visit: Visit) -> Response:
    """Leave an edit aside for good; its bytes stay in the quarantine."""
    directory, name = _edit_named(visit)
    outside_edits.dismiss(directory, name)
    return visit.redirect("/file")


def _edit_named(visit: Visit) -> tuple[Path, str]:
    directory, name = visit.db.directory, visit.form.get("name", "")
    if directory is None or name not in outside_edits.waiting(directory):
        raise HTTPException(404, "This edit is dealt with already.")
    if not visit.site.shows_all:
        raise HTTPException(403, "Some tables are not shown here, so that an edit of the file can't be taken over.")
    return directory, name


# ── the whole file ──────────────────────────────────────────────────────────────────────────────────────────────────


async def download(visit: Visit) -> Response:
    """Give the whole file, secrets and all; the password is asked for again."""
    directory = visit.db.directory
    if directory is None or not visit.site.shows_all:
        raise HTTPException(403, "This file can't be downloaded here.")
    if not await visit.confirmed():
        return await run_in_threadpool(_page, visit, 403, "This is not your password.")
    return await file_response(directory / NAME, NAME)


async def file_response(path: Path, name: str) -> Response:
    """Return the answer that gives a file; one that replaces it meanwhile is not mixed in.

    Raises:
        HTTPException: 404.
    """
    try:
        file = await run_in_threadpool(path.open, "rb")
    except OSError:
        raise HTTPException(404, f"{name} isn't there.") from None

    async def chunks() -> AsyncIterator[bytes]:
        """Yield the file's bytes."""
        try:
            while chunk := await run_in_threadpool(file.read, CHUNK):
                yield chunk
        finally:
            file.close()

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chunks(), media_type="application/octet-stream", headers=headers)
