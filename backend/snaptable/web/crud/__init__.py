"""crud_router: REST for a table, in a line; see its own help, and the README of `snaptable.web`."""

from snaptable.web.crud.idempotency import IdempotencyKey
from snaptable.web.crud.router import ALL, crud_router

__all__ = ["ALL", "IdempotencyKey", "crud_router"]
