"""FastAPI parts for any `Database`. An application that has FastAPI imports this package; the library never does.

    app = FastAPI()
    install_problems(app)                                         # every error is an RFC 9457 problem
    app.add_middleware(BodyLimit, limit_of=lambda scope: 1_000_000)
    router = APIRouter(route_class=StrictRoute)                   # JSON bodies are read strictly
    listing = ListParams(Note, ["id", "text"], sort="id")         # ?limit=&cursor=&sort=&text__starts_with=
    respond = RowResponder(Note, NoteOut)                         # rows as the JSON they were validated as

    @router.get("/notes", response_model=NotePage, responses=problems(422), openapi_extra=listing.openapi)
    async def list_notes(request: Request) -> Response:
        return respond.page(listing.read(request).page_json(db.notes.where()))

Errors
    `install_problems(app)`: answers all errors, the library's own included, as problems.
    `Problem`, `FieldError`: raised below a route, they are the answer. `problem_response`: the same as a response.
    `problems(404, 409)`: documents them, for a route's `responses`. `PROBLEM_MEDIA_TYPE`: their media type.
Requests
    `StrictRoute`: a route class whose JSON bodies are parsed by `parse_json`: no duplicate keys, NaN, lone surrogates.
    `StrictRequest`: what its endpoints are handed; a subclass may find out who asks before a body is read.
    `NotStrictJson`: what `parse_json` raises; its `pointer` leads to the value.
    `BodyLimit`: middleware that answers 413 to a body over a limit.
    `ListParams`, `Listing`: the query string of a list, as a query.
Routers
    `crud_router(db.notes, caller=…, owner="user_id")`: REST for a table; `ALL`: what it allows unless told otherwise.
    `Hooks`: what an application does where a router reads and writes, such as count quotas.
    `Docs`, `Operation`: what the OpenAPI document calls a router's parts; `OFFERS`: what requests may ask for.
    `IdempotencyKey`: the model of a transient table, for the header of that name.
Rules
    `Rules`: who may see and change which rows of a table. `rule_book(db)`: what may be seen of each table.
Responses
    `RowResponder`: stored rows, and pages of them, serialised once; rows have an `ETag`, and it checks If-Match.
    `IfMatch`, `etag_of`, `is_known`: the same for anything else.
    `IF_MATCH`, `IF_NONE_MATCH`, `NOT_MODIFIED`: document it, for a route's `openapi_extra` and `responses`.
    `SecurityHeaders`: middleware that adds no-store, nosniff, and that pages may not be framed.
    `health(db)`, `Health`, `SnapshotHealth`: what a probe asks for; `plain_health(db)`, `PlainHealth`: for strangers.
    `add_api_page(app)`: the page /docs without a script, and nothing of another host.
Watching
    `feed_router(db, caller=…, rules=…)`: `GET /changes`, server-sent events of what callers may see, resumable;
    `current_place(db)`: where to begin behind a list.
    `monitoring_router(db, token=…)`: `/health`, `/api/monitoring/…`, `/metrics`; `RequestMeter`: counts for it.
    `RequestLog`: middleware that gives each request an id, and a line in the log; `note_caller(key)`: who it is;
    `RequestIdFilter`: the id in every other line.
Serving
    `serve(app, host=…, port=…)`, `server_settings()`, `ServerLimits`: uvicorn that strangers can't stop; in
    `snaptable.web.server`, which is imported when one of them is asked for. The README beside this file says what to
    see to before an application is opened to the world.
"""

from typing import TYPE_CHECKING

from snaptable.web.api_page import add_api_page
from snaptable.web.body_limit import BodyLimit
from snaptable.web.crud import ALL, OFFERS, Docs, Hooks, IdempotencyKey, Operation, crud_router
from snaptable.web.etags import IF_MATCH, IF_NONE_MATCH, NOT_MODIFIED, IfMatch, etag_of, is_known
from snaptable.web.feed import feed_router
from snaptable.web.health import Health, PlainHealth, SnapshotHealth, health, plain_health
from snaptable.web.listing import Listing, ListParams
from snaptable.web.monitoring import RequestMeter, monitoring_router
from snaptable.web.place import current_place
from snaptable.web.problems import (
    PROBLEM_MEDIA_TYPE,
    FieldError,
    Problem,
    install_problems,
    problem_response,
    problems,
)
from snaptable.web.request_ids import RequestIdFilter, note_caller
from snaptable.web.request_json import NotStrictJson, StrictRequest, StrictRoute, parse_json
from snaptable.web.request_log import RequestLog
from snaptable.web.row_response import RowResponder
from snaptable.web.rules import RuleBook, Rules, View, rule_book
from snaptable.web.security_headers import SecurityHeaders

if TYPE_CHECKING:
    from snaptable.web.server import ServerLimits, serve, server_settings
else:

    def __getattr__(name: str) -> object:
        """Import the server when it is asked for: a test client needs none."""
        if name not in ("ServerLimits", "serve", "server_settings"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from snaptable.web import server

        return getattr(server, name)


__all__ = [
    "ALL",
    "IF_MATCH",
    "IF_NONE_MATCH",
    "NOT_MODIFIED",
    "OFFERS",
    "PROBLEM_MEDIA_TYPE",
    "BodyLimit",
    "Docs",
    "FieldError",
    "Health",
    "Hooks",
    "IdempotencyKey",
    "IfMatch",
    "ListParams",
    "Listing",
    "NotStrictJson",
    "Operation",
    "PlainHealth",
    "Problem",
    "RequestIdFilter",
    "RequestLog",
    "RequestMeter",
    "RowResponder",
    "RuleBook",
    "Rules",
    "SecurityHeaders",
    "ServerLimits",
    "SnapshotHealth",
    "StrictRequest",
    "StrictRoute",
    "View",
    "add_api_page",
    "crud_router",
    "current_place",
    "etag_of",
    "feed_router",
    "health",
    "install_problems",
    "is_known",
    "monitoring_router",
    "note_caller",
    "parse_json",
    "plain_health",
    "problem_response",
    "problems",
    "rule_book",
    "serve",
    "server_settings",
]
