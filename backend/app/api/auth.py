"""Register, log in, log out."""

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from app.api.dependencies import CallerDep, ResourcesDep, client_address, require_login_form
from app.api.routing import new_router
from app.api.schemas import Registration, TokenOut, UserOut
from app.services import accounts, users
from snaptable.web import problems

router = new_router("auth", "/api/auth")


@router.post(
    "/register",
    status_code=201,
    responses=problems(409, 413, 422, 429, 503),
    summary="Register with an e-mail address and a password",
)
async def register(request: Request, resources: ResourcesDep, body: Registration) -> UserOut:
    """Add a user. Addresses compare without case."""
    user = await accounts.register(resources.db, resources.accounts, body.email, body.password, client_address(request))
    return UserOut.model_validate(user)


@router.post(
    "/login",
    responses=problems(400, 401, 413, 422, 429, 503),
    dependencies=[Depends(require_login_form)],
    summary="Log in by form, and get a token",
)
async def login(
    request: Request, response: Response, resources: ResourcesDep, form: Annotated[OAuth2PasswordRequestForm, Depends()]
) -> TokenOut:
    """Check e-mail address (the field `username`) and password, sent as `application/x-www-form-urlencoded`.

    The token is good until it expires or you log out.
    """
    token = await accounts.log_in(
        resources.db, resources.accounts, form.username, form.password, client_address(request)
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(access_token=token)


@router.post("/logout", status_code=204, responses=problems(401, 503), summary="End the session of this token")
async def logout(caller: CallerDep) -> None:
    """Log out; other sessions of the same user stay."""
    await caller.db.run(users.end_session, caller.session.id)


@router.get("/me", responses=problems(401), summary="Show whose token this is")
async def get_me(caller: CallerDep) -> UserOut:
    """Return the user of the token."""
    return UserOut.model_validate(caller.user)
