"""crud_router: REST for a table, in a line; see its own help, and the README of `snaptable.web`."""

from snaptable.web.crud.documentation import Docs, Operation
from snaptable.web.crud.hooks import Hooks
from snaptable.web.crud.idempotency import IdempotencyKey
from snaptable.web.crud.resource import ALL, OFFERS
from snaptable.web.crud.router import crud_router

__all__ = ["ALL", "OFFERS", "Docs", "Hooks", "IdempotencyKey", "Operation", "crud_router"]
