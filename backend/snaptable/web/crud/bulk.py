"""Many changes as one commit, each fault with a pointer to the change that it is about."""

from collections.abc import Callable
from typing import Any, Generic, NotRequired, Required, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, JsonValue, create_model, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from snaptable import ConstraintError, SnaptableError
from snaptable.web.crud.resource import Resource, object_of
from snaptable.web.crud.writes import Patch, Writes, unconditionally
from snaptable.web.listing import RowT
from snaptable.web.problems import FieldError, Problem, problem_of

T = TypeVar("T")
ItemT = TypeVar("ItemT")
MAX_OPERATIONS = 1_000
VERBS = {"insert": "create", "update": "update", "delete": "delete"}
"""The lists of a body, and what must be allowed for each."""
Place = tuple[str, int]
"""A list and a position in it."""


class Bulk(Generic[RowT]):
    """The changes of one request."""

    def __init__(self, resource: Resource[RowT], allow: frozenset[str], body: JsonValue) -> None:
        """Read the body.

        Raises:
            Problem: 422, what is not a list of rows, or a row to insert that is wrong; all such rows are named.
        """
        self._resource, self._allow = resource, allow
        lists = object_of(body)
        errors = [FieldError(f"/{name}", "There is no such member.") for name in lists if name not in VERBS]
        wrong = [name for name in VERBS if not isinstance(lists.get(name, []), list)]
        errors += [FieldError(f"/{name}", "This must be a list.") for name in wrong]
        if errors:
            raise Problem.invalid(*errors)
        self._lists = {name: cast(list[JsonValue], lists.get(name, [])) for name in VERBS}
        if sum(map(len, self._lists.values())) > MAX_OPERATIONS:
            raise Problem.invalid(FieldError("", f"This takes at most {MAX_OPERATIONS:,} changes."))
        self._check_allowed()
        self._values: list[dict[str, object]] = []
        for number, item in enumerate(self._lists["insert"]):
            try:
                self._values.append(resource.create.values(object_of(item)))
            except Problem as problem:
                errors += _placed(problem, ("insert", number)).errors
        if errors:
            raise Problem.invalid(*errors)
        self._places: dict[object, Place] = {}
        """Which change is about the row of a key."""

    def _check_allowed(self) -> None:
        """Refuse what the router would not do for one row either.

        Raises:
            Problem: 403; 428 for changes where each has to say of which state.
        """
        for name, items in self._lists.items():
            if items and VERBS[name] not in self._allow:
                raise Problem(403, "You may not do this.", errors=[FieldError(f"/{name}", "This is not allowed.")])
            if items and name != "insert" and self._resource.options.require_if_match:
                detail = "Change these one by one, with If-Match."
                raise Problem(428, detail, errors=[FieldError(f"/{name}", detail)])

    def carry_out(self, writes: Writes[RowT]) -> bytes:
        """Carry all out, in a transaction, and return the answer's JSON.

        Raises:
            Problem: what is wrong with a change, and which one; the store's errors at the commit: see `placed`.
        """
        self._places.clear()
        writes.later = []
        inserted = self._each("insert", self._values, writes.create, writes)
        updated = self._each("update", self._lists["update"], lambda item: self._update(writes, item), writes)
        deleted = self._each("delete", self._lists["delete"], lambda item: self._delete(writes, item), writes)
        rows = {"inserted": inserted, "updated": updated}
        parts = [
            b'"%b":[%b]' % (name.encode(), b",".join(map(self._resource.json.text, each)))
            for name, each in rows.items()
        ]
        return b'{%b,%b,"deleted":%b}' % (*parts, to_json(deleted))

    def _each(self, name: str, items: list[ItemT], act: Callable[[ItemT], T], writes: Writes[RowT]) -> list[T]:
        results, checks = [], cast(list[Callable[[], None]], writes.later)
        for number, item in enumerate(items):
            before = len(checks)
            result = self._at((name, number), lambda item=item: act(item))  # type: ignore[misc]
            self._places[getattr(result, self._resource.schema.key, result)] = (name, number)
            results.append(result)
            for position in range(before, len(checks)):
                checks[position] = self._check_at((name, number), checks[position])
        if name == "delete":
            for check in checks:
                check()
        return results

    def _check_at(self, place: Place, check: Callable[[], None]) -> Callable[[], None]:
        return lambda: self._at(place, check)

    def _at(self, place: Place, act: Callable[[], T]) -> T:
        try:
            return act()
        except Problem as problem:
            raise _placed(problem, place) from None
        except SnaptableError as error:
            raise _placed(problem_of(error), place) from None

    def _update(self, writes: Writes[RowT], item: JsonValue) -> RowT:
        key, fields = self._resource.schema.key, object_of(item)
        changes = {name: value for name, value in fields.items() if name != key}
        return writes.patch(self._key(fields.get(key)), Patch(self._resource, changes), unconditionally)

    def _delete(self, writes: Writes[RowT], item: JsonValue) -> object:
        key = self._key(item)
        writes.delete(key, unconditionally)
        return key

    def _key(self, value: JsonValue) -> object:
        """Return the key that a member names.

        Raises:
            Problem: 404, it is none.
        """
        wanted = int if self._resource.schema.key_type is int else str
        if type(value) is not wanted:
            raise self._resource.not_there()
        return self._resource.key_of(str(value))

    def placed(self, problem: Problem, cause: BaseException | None) -> Problem:
        """Return a problem with the change that it is about, if a constraint that the commit would break caused it."""
        is_own = isinstance(cause, ConstraintError) and cause.table == self._resource.table.name
        place = self._places.get(cause.key) if is_own else None  # type: ignore[union-attr]
        return problem if place is None else _placed(problem, place)


def _placed(problem: Problem, place: Place) -> Problem:
    """Return a problem whose pointers lead into one change of a body."""
    prefix = f"/{place[0]}/{place[1]}"
    errors = [FieldError(prefix + error.pointer, error.detail) for error in problem.errors]
    errors = errors or [FieldError(prefix, str(problem.detail))]
    return Problem(problem.status_code, problem.detail, errors=errors, headers=problem.headers, members=problem.members)


# ── documentation ───────────────────────────────────────────────────────────────────────────────────────────────────


def bulk_body(resource: Resource[RowT]) -> type:
    """Return the type that documents the body."""
    key: Any = resource.schema.key_type
    members = {"insert": list[resource.create.kind], "update": list[_bulk_update(resource)], "delete": list[key]}  # type: ignore[name-defined, misc]
    kind = cast(Callable[..., type], TypedDict)(f"{resource.table.model.__name__}Bulk", members, total=False)
    return with_config(ConfigDict(extra="forbid"))(kind)


def _bulk_update(resource: Resource[RowT]) -> type:
    """Return the type that documents one change of a row: its key, and what a PATCH may change."""
    key, key_type, fields = resource.schema.key, resource.schema.key_type, resource.update.kind
    name = f"{resource.table.model.__name__}BulkUpdate"
    if issubclass(fields, BaseModel):
        named: dict[str, Any] = {key: (key_type, ...)}
        return create_model(name, __base__=fields, **named)
    hints = {each: hint for each, hint in get_type_hints(fields, include_extras=True).items() if each != key}
    members = {key: Required[key_type], **{each: NotRequired[hint] for each, hint in hints.items()}}
    kind = cast(Callable[..., type], TypedDict)(name, members)
    return with_config(ConfigDict(extra="forbid", val_json_bytes="base64"))(kind)


def bulk_answer(resource: Resource[RowT], row: type[BaseModel]) -> type[BaseModel]:
    """Return the model that documents the answer."""
    name, key = f"{resource.table.model.__name__}BulkAnswer", resource.schema.key_type
    return create_model(name, inserted=(list[row], ...), updated=(list[row], ...), deleted=(list[key], ...))  # type: ignore[valid-type]
