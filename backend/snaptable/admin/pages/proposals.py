"""Proposals: edits that wait in a fork of the database until another admin merges them, or discards them.

A fork is a copy in memory that shares its rows with the database. It keeps what was seen when the edits were made, so
a merge is by field, as an undo is, and names what was changed since. What was sent is kept beside the data, and with
the history that is enough: after a restart the fork is made again, of the same commit.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.responses import Response

from snaptable import Database, SnaptableError, UndoConflict
from snaptable.admin import proposal_file
from snaptable.admin.edits import Refused, save
from snaptable.admin.numbers import number_in
from snaptable.admin.pages.editing import sent_edits
from snaptable.admin.pages.row import shown_troubles
from snaptable.admin.past_shown import visible_conflicts
from snaptable.admin.proposal_file import KeptProposal
from snaptable.admin.rows import ShownTable
from snaptable.admin.site import NavItem, Site, Visit
from snaptable.errors import Conflict
from snaptable.history import Change
from snaptable.web.problems import Problem

MOST = 20
"""Proposals at a time: each is a copy of the tables' dictionaries."""
MOST_CHANGES = 200
"""Changes of a proposal that its page shows."""
GONE = "It was made of rows that the history does not keep any more, or that have another shape now."


@dataclass
class Proposal:
    """Edits that wait.

    Attributes:
        kept: who sent what, when, and of which commit's rows.
        fork: the database with them; None if it can't be made any more.
    """

    kept: KeptProposal
    fork: Database | None

    def changes(self, tables: list[str]) -> list[Change]:
        """Return what it changes, in tables that are shown."""
        if self.fork is None:
            return []
        return [each for each in self.fork.history.diff(self.kept["base"]) if each.table in tables][:MOST_CHANGES]


@dataclass
class Proposals:
    """The proposals of a site, the newest first; they outlive the process where the database has a directory."""

    _waiting: dict[int, Proposal] = field(default_factory=dict)
    _last: int = 0
    _is_read: bool = False
    _mutex: threading.RLock = field(default_factory=threading.RLock)

    def all(self, db: Database) -> list[Proposal]:
        """Return them; the first time after a start, their forks are made again."""
        with self._mutex:
            self._read(db)
            return [self._waiting[number] for number in sorted(self._waiting, reverse=True)]

    def add(self, db: Database, proposal: Proposal) -> int:
        """Keep one, and return its number.

        Raises:
            Problem: 409, there are too many; 503, it could not be kept.
        """
        with self._mutex:
            self._read(db)
            if len(self._waiting) >= MOST:
                raise Problem(409, f"{MOST} proposals wait already: merge or discard one first.")
            self._last += 1
            proposal.kept["number"] = self._last
            self._waiting[self._last] = proposal
            try:
                self._write(db)
            except OSError as error:
                del self._waiting[self._last]
                raise Problem(503, f"The proposal could not be kept ({error.strerror}): nothing was done.") from None
            return self._last

    def named(self, db: Database, text: str) -> Proposal:
        """Return the one of a number.

        Raises:
            HTTPException: 404.
        """
        with self._mutex:
            self._read(db)
            number = number_in(text, digits=9)
            proposal = None if number is None else self._waiting.get(number)
        if proposal is None:
            raise HTTPException(404, "This proposal was merged or discarded already.")
        return proposal

    def end(self, db: Database, proposal: Proposal) -> None:
        """Forget one."""
        with self._mutex:
            self._waiting.pop(proposal.kept["number"], None)
            self._write(db)
        if proposal.fork is not None:
            proposal.fork.close()

    def _read(self, db: Database) -> None:
        if self._is_read:
            return
        if db.directory is not None:
            kept = proposal_file.read(db.directory)
            self._last = kept["last"]
            self._waiting = {each["number"]: Proposal(each, _fork_again(db, each)) for each in kept["proposals"]}
        self._is_read = True

    def _write(self, db: Database) -> None:
        if db.directory is not None:
            proposal_file.write(db.directory, self._last, [each.kept for each in self._waiting.values()])


def _fork_again(db: Database, kept: KeptProposal) -> Database | None:
    """Return the fork of a proposal, made of what was sent; None if that is not possible any more."""
    try:
        fork = db.history.fork(kept["base"])
    except (SnaptableError, ValueError):
        return None
    try:
        if kept["table"] in fork.tables and _propose(fork, kept["table"], kept["sent"]) is not None:
            return fork
    except (Refused, Problem, SnaptableError):
        pass
    fork.close()
    return None


def _propose(fork: Database, table: str, sent: object) -> str | None:
    """Make edits in a fork, and return their note; None if they change nothing.

    Raises:
        Refused, Problem: as `sent_edits` and `save`.
    """
    shown = ShownTable(fork.tables[table])
    edits, note = sent_edits(shown, sent)
    return None if save(fork, shown, edits, note) is None else note


class ProposalPages:
    """The pages of a site's proposals."""

    def __init__(self) -> None:
        """Begin without any."""
        self.proposals = Proposals()

    def propose(self, visit: Visit) -> Response:
        """Keep staged edits of several rows as a proposal, instead of saving them."""
        table = visit.site.table(visit.request.path_params["table"]).name
        fork = visit.db.history.fork()
        try:
            note = _propose(fork, table, visit.sent_json)
            if note is None:
                raise Problem(422, "Nothing was changed, so nothing is proposed.")
            kept: KeptProposal = {
                "number": 0, "author": visit.admin.name, "note": note, "at": datetime.now(UTC),
                "base": fork.fork_base or 0, "table": table, "sent": visit.sent_json,
            }  # fmt: skip
            number = self.proposals.add(visit.db, Proposal(kept, fork))
        except Refused as refused:
            fork.close()
            return visit.json(shown_troubles(visit, refused.troubles), refused.status)
        except BaseException:
            fork.close()
            raise
        return visit.json({"proposal": number, "url": visit.url("/proposals")})

    def show(self, visit: Visit) -> Response:
        """Show them."""
        return self._page(visit)

    def merge(self, visit: Visit) -> Response:
        """Bring one into the database, as a commit that names its author."""
        proposal = self.proposals.named(visit.db, visit.form.get("number", ""))
        if proposal.fork is None:
            raise Problem(409, GONE)
        author, said = proposal.kept["author"], proposal.kept["note"]
        note = f"proposed by {author}" + (f": {said}" if said else "")
        try:
            force = visit.form.get("force") == "on"
            revert = visit.db.history.merge(proposal.fork, note=note, force=force)
        except UndoConflict as error:
            conflicts = tuple(visible_conflicts(visit.site, error.conflicts))
            return self._page(visit, proposal.kept["number"], conflicts, 409)
        self.proposals.end(visit.db, proposal)
        return visit.redirect("/proposals", done=revert.commit)

    def discard(self, visit: Visit) -> Response:
        """Forget one."""
        self.proposals.end(visit.db, self.proposals.named(visit.db, visit.form.get("number", "")))
        return visit.redirect("/proposals")

    def _page(self, visit: Visit, number: int = 0, conflicts: tuple[Conflict, ...] = (), status: int = 200) -> Response:
        shown = [(each, each.changes(list(visit.site.shown))) for each in self.proposals.all(visit.db)]
        return visit.render(
            "proposals.html", status, active="proposals", proposals=shown, number=number, conflicts=conflicts, gone=GONE
        )


def _refuse(_visit: Visit) -> Response:
    """Keep no proposal: the next request may come to another process."""
    raise Problem(409, "Several processes serve this page, and a proposal is kept in the memory of one: save instead.")


def add_to(site: Site) -> None:
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
