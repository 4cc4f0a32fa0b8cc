"""What routes depend on: the backend, and who is asking."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from app.backend import Backend
from app.services import users
from app.tables import Session, User
from snaptable.web import Problem

bearer = OAuth2PasswordBearer(tokenUrl="/api/auth/login", auto_error=False)

CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Be the user a request comes from."""

    backend: Backend
    user: User
    session: Session


async def get_backend(request: Request) -> Backend:
    """Return the backend this application serves."""
    return cast(Backend, request.app.state.backend)


async def get_caller(request: Request, token: Annotated[str | None, Depends(bearer)]) -> Caller:
    """Return who holds the bearer token, or answer 401."""
    backend = cast(Backend, request.app.state.backend)
    found = users.find_session(backend.db, token) if token else None
    if found is None:
        raise Problem(401, "Log in, and send the token as `Authorization: Bearer …`.", headers=CHALLENGE)
    return Caller(backend, *found)


def client_address(request: Request) -> str:
    """Return the address a request comes from, as far as the server trusts it."""
    return request.client.host if request.client else ""


BackendDep = Annotated[Backend, Depends(get_backend)]
CallerDep = Annotated[Caller, Depends(get_caller)]
