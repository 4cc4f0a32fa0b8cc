"""Register, log in, log out here and elsewhere, change the password, delete the account."""

from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.security import OAuth2PasswordRequestForm
from starlette.concurrency import run_in_threadpool

from app.api.dependencies import Caller, CallerDep, ResourcesDep, client_address, require_login_form
from app.api.routing import new_router
from app.api.schemas import Confirmation, PasswordChange, Registration, SessionOut, SessionsOut, TokenOut, UserOut
from app.services import accounts, sessions
from app.services.accounts import Owner
from app.tables import Session
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
async def logout(request: Request, caller: CallerDep) -> None:
    """Log out; other sessions of the same user stay."""
    await caller.db.run(sessions.log_out, caller.session.id)
    _report(request, caller, "logged out")


@router.get("/sessions", responses=problems(401), summary="List where you are logged in")
async def list_sessions(caller: CallerDep) -> SessionsOut:
    """Return your sessions, the youngest first: when each began, and when it ends if it is not used any more."""
    rows = await caller.read(sessions.of_user)
    return SessionsOut(items=[_shown(row, caller.session.id) for row in rows])


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    responses=problems(401, 404, 422, 503),
    summary="End one of your sessions",
)
async def end_session(request: Request, caller: CallerDep, session_id: str) -> None:
    """Log out elsewhere; its token is refused from now on."""
    await caller.db.run(sessions.end, caller.user, session_id)
    _report(request, caller, "sessions ended", 1)


@router.delete("/sessions", status_code=204, responses=problems(401, 503), summary="End all your other sessions")
async def end_other_sessions(request: Request, caller: CallerDep) -> None:
    """Log out everywhere but here, the admin page included."""
    number = await caller.db.run(sessions.end_others, caller.user, caller.session.id)
    await _leave_admin_page(request, caller)
    _report(request, caller, "sessions ended", number)


@router.post(
    "/password",
    status_code=204,
    responses=problems(401, 413, 422, 429, 503),
    summary="Change your password, and log out everywhere else",
)
async def change_password(request: Request, caller: CallerDep, body: PasswordChange) -> None:
    """Replace the password and end all other sessions, in one step. A wrong old one counts as a failed login."""
    resources = caller.resources.accounts
    await accounts.change_password(caller.db, resources, _owner(request, caller), body.old_password, body.new_password)
    await _leave_admin_page(request, caller)


@router.get("/me", responses=problems(401), summary="Show whose token this is")
async def get_me(caller: CallerDep) -> UserOut:
    """Return the user of the token."""
    return UserOut.model_validate(caller.user)


@router.delete(
    "/me",
    status_code=204,
    responses=problems(401, 413, 422, 429, 503),
    summary="Delete your account and all you stored",
)
async def delete_account(request: Request, caller: CallerDep, body: Confirmation) -> None:
    """Log out everywhere and free your address, at once; documents and all else go within seconds behind the answer.

    What is being removed can't be read any more, and is removed further after a restart of the server.
    """
    await accounts.close(caller.db, caller.resources.accounts, _owner(request, caller), body.password)
    caller.resources.erasure.begin(caller.user.id)


async def _leave_admin_page(request: Request, caller: Caller) -> None:
    """End the caller's sessions of the admin page, if they have any: who took one over is out as well."""
    site = request.app.state.admin
    if site is not None and caller.user.is_admin:
        await run_in_threadpool(site.access.sessions.end_all, caller.user.email)


def _owner(request: Request, caller: Caller) -> Owner:
    """Return the caller as the owner of their account."""
    return Owner(caller.user, caller.session, client_address(request))


def _shown(session: Session, current_id: str) -> SessionOut:
    """Return what is shown of a session."""
    return SessionOut(
        id=session.id,
        created_at=session.created_at,
        expires_at=session.expires_at,
        current=session.id == current_id,
    )


def _report(request: Request, caller: Caller, kind: str, number: int = 0) -> None:
    """Report what a caller did to their account."""
    events = caller.resources.accounts.events
    events.report(kind, client_address(request), account=caller.user.id, number=number)
