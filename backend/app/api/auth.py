"""Register, log in, log out."""

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from app.api.dependencies import BackendDep, CallerDep, client_address
from app.api.schemas import Registration, TokenOut, UserOut
from app.services import users
from snaptable.web import Router, problems

router = Router(prefix="/api/auth", tags=["auth"])


@router.post("/register", status_code=201, responses=problems(409, 413, 422, 429, 503))
async def register(request: Request, backend: BackendDep, body: Registration) -> UserOut:
    """Register with an e-mail address and a password. Addresses compare without case."""
    user = await backend.accounts.register(body.email, body.password, client_address(request))
    return UserOut.model_validate(user)


@router.post("/login", responses=problems(400, 401, 413, 422, 429, 503))
async def login(
    request: Request, response: Response, backend: BackendDep, form: Annotated[OAuth2PasswordRequestForm, Depends()]
) -> TokenOut:
    """Log in with the OAuth2 password form; the token is good until it expires or you log out."""
    token = await backend.accounts.log_in(form.username, form.password, client_address(request))
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(access_token=token)


@router.post("/logout", status_code=204, responses=problems(401, 503))
async def logout(caller: CallerDep) -> None:
    """End the session this token belongs to."""
    await caller.backend.db.run(users.end_session, caller.session.id)


@router.get("/me", responses=problems(401))
async def get_me(caller: CallerDep) -> UserOut:
    """Tell whose token this is."""
    return UserOut.model_validate(caller.user)
