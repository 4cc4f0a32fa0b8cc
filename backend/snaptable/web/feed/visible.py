"""What a caller may see of commits: by the rules of each table, before a change and after it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from snaptable import Database, HistoryGone
from snaptable.changes.records import Kind
from snaptable.history import Change, Commit
from snaptable.history.shapes import Shape, change_shape, commit_shape
from snaptable.web.rules import Rules, View, rule_book

Fields = Mapping[str, object]
"""A row as a JSON object."""


class FeedTables:
    """The tables of a feed, and what may be seen of each; a table that nothing has rules for is not among them."""

    def __init__(self, database: Database, rules: Mapping[str, Rules], caller: object) -> None:
        """Take the rules of the feed itself, which take the place of those that routers gave, and the dependency.

        Raises:
            ValueError: rules for a table that there is not, or that is transient.
        """
        for name in rules:
            if name not in database.tables:
                raise ValueError(f"there is no table {name!r}; there is {', '.join(database.tables)}")
            if database.tables[name].schema.transient:
                raise ValueError(f"{name} is transient: its rows have no past, and are in no feed")
        self._database, self._rules, self._caller = database, rules, caller

    def views(self) -> dict[str, View[Any]]:
        """Return what may be seen, by table, as far as the routers that were made until now say."""
        names = [name for name, table in self._database.tables.items() if not table.schema.transient]
        views = ((name, self._view(name)) for name in names)
        return {name: view for name, view in views if view is not None}

    def _view(self, name: str) -> View[Any] | None:
        of_router = rule_book(self._database).of(name, self._caller)
        own = self._rules.get(name)
        if own is None:
            return of_router
        hidden = frozenset[str]() if of_router is None else of_router.hidden
        return View(self._database.tables[name], [] if own.read is None else [own.read], hidden)


class VisibleCommits:
    """Commits as one caller may see them.

    Attributes:
        caller: whose rules are asked.
    """

    def __init__(self, views: Mapping[str, View[Any]], caller: object, tables: Collection[str]) -> None:
        """Take what may be seen of tables, the caller, and the tables that are wanted."""
        self.caller = caller
        self._views = {name: views[name] for name in tables}
        self._sees: dict[str, Callable[[Fields | None], bool]] = {}
        self.ask_rules()

    def ask_rules(self) -> None:
        """Ask the rules anew what the caller may see: they may have looked it up."""
        self._sees = {name: view.shown_to(self.caller) for name, view in self._views.items()}

    def shape(self, commit: Commit) -> Shape | None:
        """Return a commit as a JSON object with the changes that the caller sees; None if there are none. O(changes).

        Raises:
            HistoryGone: what rows were before is not known, was erased, or was of other models: whether the caller saw
                them can't be told.
        """
        changes = [change for change in commit.changes if change.table in self._views]
        if changes and any(not name.startswith("automatic: ") for name in commit.migrations):
            raise HistoryGone(f"commit {commit.sequence} is a migration: rows before it are those of other models")
        shapes = [shape for change in changes if (shape := self._change(change)) is not None]
        return commit_shape(commit, shapes) if shapes else None

    def _change(self, change: Change) -> Shape | None:
        """Return a change as the caller sees it: of two states, those that the caller may see."""
        if change.purged:
            raise HistoryGone(f"a change of {change.table} was erased")
        before, after = (self._seen(change.table, row) for row in (change.before, change.after))
        if before == after:  # unseen both times, or they differ in what is hidden alone
            return None
        kind: Kind = "insert" if before is None else "delete" if after is None else "replace"
        return change_shape(change, kind, before, after)

    def _seen(self, table: str, row: Fields | None) -> dict[str, object] | None:
        """Return a row's state as the caller sees it, with `••••` for secrets, as history has it; None if unseen."""
        if row is None or not self._sees[table](row):
            return None
        view = self._views[table]
        left_out = view.hidden - view.table.schema.secrets
        return {name: value for name, value in row.items() if name not in left_out}
