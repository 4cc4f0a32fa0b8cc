"""What the OpenAPI document says of a router: names, models, parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from snaptable.web.crud.lists import MAX_SEARCH
from snaptable.web.crud.resource import Resource
from snaptable.web.crud.shown_rows import relations_of
from snaptable.web.list_filters import by_commas, parameter_of
from snaptable.web.listing import RowT
from snaptable.web.row_response import json_shape

_DOCUMENTED = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True)
class Operation:
    """What is said of one verb of a router.

    Attributes:
        id: the `operationId`: clients that are generated name a method after it.
        summary: a line.
        description: what it does and answers.
        problems: the statuses of its problems, if not those of every router: what hooks raise, too.
    """

    id: str
    summary: str
    description: str
    problems: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Docs:
    """What the OpenAPI document calls the parts of a router; what is left out is made of the names of the table.

    Attributes:
        row: the model that documents a row: one whose JSON is that of the rows.
        page: the model that documents a page of a list.
        key: what the key is called in addresses.
        operations: what is said of verbs, "list", "get" and the like.
    """

    row: type[BaseModel] | None = None
    page: type[BaseModel] | None = None
    key: str = "key"
    operations: Mapping[str, Operation] = field(default_factory=dict)


class ExpandedRows(BaseModel):
    """Rows that refer to the one that they are shown in: the first of them."""

    items: list[dict[str, Any]]
    next_cursor: str | None


class DocumentedRows:
    """The models that document what a router answers.

    Attributes:
        row: a row.
        expanded: a row with what may be shown inside of it.
        page: a page of those.
    """

    def __init__(self, resource: Resource[RowT], docs: Docs) -> None:
        """Make what is not given.

        Raises:
            TypeError: rows are not sent as the model that is given says.
        """
        self.row = self._row(resource, docs.row)
        self.expanded = _expanded(resource, self.row)
        self.page = docs.page or create_model(
            f"{resource.table.model.__name__}Page",
            items=(list[self.expanded], ...),  # type: ignore[name-defined]
            next_cursor=(str | None, ...),
            total=(int, 0),
        )

    def _row(self, resource: Resource[RowT], given: type[BaseModel] | None) -> type[BaseModel]:
        """Return the model that documents what rows are shown as."""
        model = cast(type[BaseModel], resource.table.model)
        hidden = resource.view.hidden
        shown = create_model(model.__name__, __config__=_DOCUMENTED, **_members(resource)) if hidden else model
        if given is not None and json_shape(given) != json_shape(shown):
            raise TypeError(f"rows of {resource.table.name} are not sent as {given.__name__} says")
        return given or shown


def _expanded(resource: Resource[RowT], row: type[BaseModel]) -> type[BaseModel]:
    """Return the model that documents rows with what may be shown inside of them, `row` if that is nothing."""
    relations = relations_of(resource.table)
    expanded: dict[str, Any] = {
        name: (ExpandedRows | None if relations[name].is_list else dict[str, Any] | None, None)
        for name in dict.fromkeys(path.partition(".")[0] for path in resource.options.expand)
    }
    if not expanded:
        return row
    name = f"{resource.table.model.__name__}Expanded"
    return create_model(name, __config__=_DOCUMENTED, **_members(resource), **expanded)


def _members(resource: Resource[RowT]) -> dict[str, Any]:
    """Return the fields of rows that are shown, as `create_model` takes them."""
    return {
        name: (Annotated[(info.annotation, *info.metadata, Field(description=info.description))], ...)
        for name, info in resource.table.model.model_fields.items()
        if name not in resource.view.hidden
    }


def documented(names: Sequence[str], expand: Sequence[str]) -> dict[str, JsonValue]:
    """Return parameters that are not filters as OpenAPI describes them, for a route's `openapi_extra`."""
    text: dict[str, JsonValue] = {"type": "string", "minLength": 1}
    known: dict[str, tuple[dict[str, JsonValue], str]] = {
        "fields": (text, "The fields to show, separated by commas; `user.name` is one of an expanded row."),
        "expand": (
            {"type": "array", "items": {"type": "string", "enum": list(expand)}, "minItems": 1},
            "Related rows to show inside of each.",
        ),
        "count": ({"type": "string", "enum": ["exact"]}, "Whether to count all rows, as `total`."),
        "at": (text, "A commit's number, or a time with its offset: the rows as they were."),
        "q": (text | {"maxLength": MAX_SEARCH}, "A text that a text field contains, whatever its case."),
        "until": ({"type": "integer", "minimum": 0}, "The last commit to show: the `next` of the page before."),
        "dry_run": ({"type": "boolean"}, "Only count what would be deleted."),
    }
    parameters: list[JsonValue] = []
    for name in names:
        parameter = parameter_of(name, *known[name])
        is_list = known[name][0].get("type") == "array"
        parameters.append(by_commas(parameter) if is_list else parameter)
    return {"parameters": parameters}


def joined(*extras: Mapping[str, Any]) -> dict[str, Any]:
    """Return what several extras add to a route's parameters."""
    return {"parameters": [parameter for extra in extras for parameter in extra["parameters"]]}
