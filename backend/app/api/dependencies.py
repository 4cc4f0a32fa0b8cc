"""What routes depend on: the backend, and who is asking."""

from typing import Annotated, NamedTuple, cast

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from app.services import users
from app.services_container import Services
from app.tables import Session, User
from snaptable.web import Problem

CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Caller(NamedTuple):
    """Be the user a request comes from."""

    backend: Services
    user: User
    session: Session


async def get_backend(request: Request) -> Services:
    """Return the backend this application serves."""
    return cast(Services, request.app.state.backend)


class Login(OAuth2PasswordBearer):
    """Be the scheme that OpenAPI documents, and find the caller: one dependency costs half of one upon another."""

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # of the token, more is told
        """Return who holds the bearer token, or answer 401."""
        token = await super().__call__(request)
        backend = cast(Services, request.app.state.backend)
        found = users.find_session(backend.db, token) if token else None
        if found is None:
            raise Problem(401, "Log in, and send the token as `Authorization: Bearer …`.", headers=CHALLENGE)
        return Caller(backend, *found)


def client_address(request: Request) -> str:
    """Return the address a request comes from, as far as the server trusts it."""
    return request.client.host if request.client else ""


BackendDep = Annotated[Services, Depends(get_backend)]
CallerDep = Annotated[
    Caller, Depends(Login(tokenUrl="/api/auth/login", scheme_name="OAuth2PasswordBearer", auto_error=False))
]
