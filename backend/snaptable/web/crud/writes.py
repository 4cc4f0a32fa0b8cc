"""What a router writes: plain functions of a transaction, so that several of them can be one commit."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Generic

from pydantic import JsonValue

from snaptable import Database, ForeignKeyViolation, Table, one_of
from snaptable.web.crud.bodies import patched
from snaptable.web.crud.resource import Resource
from snaptable.web.listing import RowT
from snaptable.web.problems import FieldError, Problem, pointer_to, problem_of
from snaptable.web.rules import rule_book

Check = Callable[[RowT], None]
"""Raises a Problem for a row that must not be changed as it is."""


def unconditionally(_row: object) -> None:
    """Accept a row as it is."""


@dataclass
class Writes(Generic[RowT]):
    """The writes of one caller to one table; each is called inside a transaction, and undone by what it raises."""

    resource: Resource[RowT]
    me: object
    later: list[Callable[[], None]] | None = None
    """Takes the checks of references, if they are made when all is written; None to make them at once."""

    def create(self, values: dict[str, object]) -> RowT:
        """Add a row of the values of a body, and return it.

        Raises:
            Problem: 403, 409, 422; the store's errors.
        """
        resource = self.resource
        key = resource.schema.key
        if key in values and key != resource.options.owner:
            resource.check_key(values[key])
        row = resource.add(self.me, values | resource.owner_fields(self.me))
        resource.allow_create(self.me, row)
        self._refer(row, values)
        return row

    def patch(self, key: object, patch: "Patch[RowT]", check: Check[RowT]) -> RowT:
        """Apply a merge patch to a row, and return it as it is then.

        Raises:
            Problem: 403, 404, 409, 412, 422; the store's errors.
        """
        old = self.resource.get(self.me, key)
        check(old)
        values = patch.values
        if values is None:
            values = self.resource.update.values(patched(self._all_fields(old), patch.body), partly=True)
        return self._change(old, key, values)

    def replace(self, key: object, body: dict[str, JsonValue], check: Check[RowT]) -> RowT:
        """Put what a body says in the place of a row, and return it as it is then.

        What a body can't say, or must not change, stays: the owner, fixed and hidden fields, and what it doesn't say of
        secrets and of fields that a function fills in, such as a time of creation.

        Raises:
            Problem: 403, 404, 409, 412, 422; the store's errors.
        """
        resource = self.resource
        old = resource.get(self.me, key)
        check(old)
        stored, shown = self._all_fields(old), resource.json.fields(old)
        # A row may be sent as it was read: with members that no body has, as they are.
        asked = {
            name: value
            for name, value in body.items()
            if name in resource.create.fields or name not in shown or value != shown[name]
        }
        kept = (resource.fixed | resource.schema.secrets) & resource.create.fields & stored.keys()
        values = resource.create.values({name: stored[name] for name in kept} | asked)
        defaults = {name: default for name in resource.create.fields - values.keys() for default in self._default(name)}
        return self._change(old, key, {**defaults, **values})

    def delete(self, key: object, check: Check[RowT]) -> RowT:
        """Delete a row, and what goes with it; return it.

        Raises:
            Problem: 403, 404, 412; the store's errors.
        """
        old = self.resource.get(self.me, key)
        check(old)
        self.resource.allow_delete(self.me, old)
        return self.resource.remove(self.me, old, key)

    def _change(self, old: RowT, key: object, values: dict[str, object]) -> RowT:
        resource = self.resource
        changed = {name for name, value in values.items() if value != getattr(old, name, None)}
        for name in values:
            if (name in resource.fixed or name == resource.options.owner) and name in changed:
                raise Problem.invalid(FieldError(pointer_to(name), "This can't be changed."))
        new = resource.change(self.me, old, key, values) if values else old
        resource.allow_update(self.me, old, new)
        self._refer(new, changed)
        return new

    def _refer(self, row: RowT, changed: Container[str]) -> None:
        """Check references now, or later, if rows that are still to come may be referred to."""
        if self.later is None:
            self.resource.check_references(self.me, row, changed)
        else:
            self.later.append(lambda: self.resource.check_references(self.me, row, changed))

    def _all_fields(self, row: RowT) -> dict[str, JsonValue]:
        """Return a row as a JSON object, secrets and all: never sent, what a body says is merged into it."""
        fields: dict[str, JsonValue] = row.__pydantic_serializer__.to_python(row, mode="json", round_trip=True)
        return fields

    def _default(self, name: str) -> Iterable[object]:
        """Yield the default that a field has in the place of what is left out; none if a function would make one up."""
        info = self.resource.schema.model.model_fields.get(name)
        if info is None or info.is_required():
            return
        factory = info.default_factory
        if factory is None:
            yield info.get_default()
        elif factory in (dict, list, set, frozenset, tuple):
            yield factory()


class Patch(Generic[RowT]):
    """What a request changes of a row."""

    def __init__(self, resource: Resource[RowT], body: dict[str, JsonValue]) -> None:
        """Read it, as far as it does not depend on the row: a member inside of a field is merged into what is there.

        Raises:
            Problem: 422.
        """
        self.body = body
        is_whole = not (resource.options.merge and any(isinstance(value, dict) for value in body.values()))
        self.values = resource.update.values(body, partly=True) if is_whole else None
        """The fields, as they will be; None if that depends on the row."""


# ── what would be deleted ───────────────────────────────────────────────────────────────────────────────────────────


def deletion_of(resource: Resource[RowT], me: object, key: object, check: Check[RowT]) -> dict[str, dict[str, int]]:
    """Return how many rows would be deleted, and changed, with a row: of those that the caller may see, by table.

    Raises:
        Problem: 403, 404, 409, 412, as the deletion.
    """
    old = resource.get(me, key)
    check(old)
    resource.allow_delete(me, old)
    deletion = _Deletion(resource.database, {resource.table.name: {key}})
    deletion.follow(resource.table.name, {key})
    deletion.check_restricted()
    book = rule_book(resource.database)

    def counts(places: dict[str, set[object]]) -> dict[str, int]:
        """Return how many of the rows the caller may see."""
        views = [(book.of(name, resource.options.caller), name, keys) for name, keys in places.items()]
        seen = {
            name: view.query(me).where(one_of(_key_column(view.table), keys)).count()
            for view, name, keys in views
            if view is not None
        }
        return {name: count for name, count in seen.items() if count}

    changed = {name: keys - deletion.deleted.get(name, set()) for name, keys in deletion.changed.items()}
    return {"would_delete": counts(deletion.deleted), "would_change": counts(changed)}


class _Deletion:
    """The rows that go with one, and those that change, followed through the foreign keys."""

    def __init__(self, database: Database, deleted: dict[str, set[object]]) -> None:
        self._database = database
        self.deleted = deleted
        self.changed: dict[str, set[object]] = {}
        self._restricted: list[tuple[str, str, set[object]]] = []

    def follow(self, name: str, keys: set[object]) -> None:
        """Take note of what refers to rows that go; O(rows that do)."""
        for reference in self._database.tables[name].schema.referenced_by:
            table = self._database.tables[reference.table]
            column = table.schema.columns[reference.field]
            referring = {getattr(row, table.schema.key) for row in table.where(one_of(column, keys)).all()}
            if reference.on_delete == "cascade":
                new = referring - self.deleted.setdefault(table.name, set())
                self.deleted[table.name] |= new
                if new:
                    self.follow(table.name, new)
            elif reference.on_delete == "set null":
                self.changed.setdefault(table.name, set()).update(referring)
            else:
                self._restricted.append((name, table.name, referring))

    def check_restricted(self) -> None:
        """Refuse what rows that stay refer to.

        Raises:
            Problem: 409.
        """
        for target, name, keys in self._restricted:
            for key in keys - self.deleted.get(name, set()):
                other, field = self._database.tables[name].get(key), self._database.tables[target].schema.key
                raise problem_of(ForeignKeyViolation(table=target, fields=(field,), other=other))


def _key_column(table: Table[RowT]) -> object:
    return table.schema.columns[table.schema.key]
