"""Proposals: edits that wait in a fork of the database until another admin merges them, or discards them.

A fork is a copy in memory that shares its rows with the database. It keeps what was seen when the edits were made, so
a merge is by field, as an undo is, and names what was changed since. A restart of the process forgets proposals.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from snaptable import Database, UndoConflict
from snaptable.admin.edits import Refused, save
from snaptable.admin.pages.editing import sent_edits
from snaptable.admin.pages.row import shown_troubles
from snaptable.admin.rows import ShownTable
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.history import Change
from snaptable.web.problems import Problem

MOST = 20
"""Proposals at a time: each is a copy of the tables' dictionaries."""
MOST_CHANGES = 200
"""Changes of a proposal that its page shows."""


@dataclass
class Proposal:
    """Edits that wait.

    Attributes:
        number: its name.
        author: who made them.
        note: why.
        at: when.
        fork: the database with them.
    """

    number: int
    author: str
    note: str
    at: datetime
    fork: Database

    def changes(self, tables: list[str]) -> list[Change]:
        """Return what it changes, in tables that are shown."""
        base = self.fork.fork_base or 0
        return [each for each in self.fork.history.diff(base) if each.table in tables][:MOST_CHANGES]


@dataclass
class Proposals:
    """The proposals of a site, the newest first."""

    _kept: dict[int, Proposal] = field(default_factory=dict)
    _last: int = 0
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def __iter__(self) -> Iterator[Proposal]:
        """Iterate over them."""
        return iter([self._kept[number] for number in sorted(self._kept, reverse=True)])

    def add(self, author: str, note: str, fork: Database) -> Proposal:
        """Keep one.

        Raises:
            Problem: 409, there are too many.
        """
        with self._mutex:
            if len(self._kept) >= MOST:
                raise Problem(409, f"{MOST} proposals wait already: merge or discard one first.")
            self._last += 1
            self._kept[self._last] = Proposal(self._last, author, note, datetime.now(UTC), fork)
            return self._kept[self._last]

    def named(self, text: str) -> Proposal:
        """Return the one of a number.

        Raises:
            HTTPException: 404.
        """
        found = self._kept.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None
        if found is None:
            raise HTTPException(404, "This proposal was merged or discarded already.")
        return found

    def end(self, proposal: Proposal) -> None:
        """Forget one."""
        with self._mutex:
            self._kept.pop(proposal.number, None)
        proposal.fork.close()


class ProposalPages:
    """The pages of a site's proposals."""

    def __init__(self) -> None:
        """Begin without any."""
        self.proposals = Proposals()

    def propose(self, visit: Visit) -> Response:
        """Keep staged edits of several rows as a proposal, instead of saving them."""
        table = visit.site.table(visit.request.path_params["table"])
        fork = visit.db.history.fork()
        try:
            edits, note = sent_edits(table, visit.sent_json)
            if save(fork, ShownTable(fork.tables[table.name]), edits, note) is None:
                raise Problem(422, "Nothing was changed, so nothing is proposed.")
            proposal = self.proposals.add(visit.admin.name, note, fork)
        except Refused as refused:
            fork.close()
            return visit.json(shown_troubles(visit, refused.troubles), refused.status)
        except BaseException:
            fork.close()
            raise
        return visit.json({"proposal": proposal.number, "url": visit.url("/proposals")})

    def show(self, visit: Visit) -> Response:
        """Show them."""
        return self._page(visit)

    def merge(self, visit: Visit) -> Response:
        """Bring one into the database, as a commit that names its author."""
        proposal = self.proposals.named(visit.form.get("number", ""))
        note = f"proposed by {proposal.author}" + (f": {proposal.note}" if proposal.note else "")
        try:
            force = visit.form.get("force") == "on"
            revert = visit.db.history.merge(proposal.fork, note=note, force=force)
        except UndoConflict as error:
            return self._page(visit, proposal.number, error.conflicts, 409)
        self.proposals.end(proposal)
        return visit.redirect("/proposals", done=revert.commit)

    def discard(self, visit: Visit) -> Response:
        """Forget one."""
        self.proposals.end(self.proposals.named(visit.form.get("number", "")))
        return visit.redirect("/proposals")

    def _page(self, visit: Visit, number: int = 0, conflicts: tuple[Any, ...] = (), status: int = 200) -> Response:
        shown = [(each, each.changes(list(visit.site.shown))) for each in self.proposals]
        return visit.render(
            "proposals.html", status, active="proposals", proposals=shown, number=number, conflicts=conflicts
        )


def _refuse(_visit: Visit) -> Response:
    """Keep no proposal: the next request may come to another process."""
    raise Problem(409, "Several processes serve this page, and a proposal is kept in the memory of one: save instead.")


def add_to(site: Site[Any]) -> None:
    """Add the pages; none with the option `proposals=False`, for an application of several processes."""
    if site.options.get("proposals") is False:
        site.post("/tables/{table}/propose", _refuse)
        return
    pages = ProposalPages()
    site.add_nav(NavItem("proposals", "Proposals", "/proposals", "fork", 105))
    site.get("/proposals", pages.show)
    site.post("/proposals/merge", pages.merge)
    site.post("/proposals/discard", pages.discard)
    site.post("/tables/{table}/propose", pages.propose)
