"""How the page looks, kept in cookies: light or dark, the height of rows. And how the store is doing, for scripts."""

from starlette.responses import Response

from snaptable.admin.site import DENSITIES, THEMES, Site, Visit
from snaptable.admin.state import StoreState

YEAR = 365 * 24 * 3600


def add_to(site: Site) -> None:
    """Add the routes."""
    site.post("/preferences", choose)
    site.get("/state", state)


async def choose(visit: Visit) -> Response:
    """Keep a choice."""
    answer = visit.back("/")
    for name, allowed in (("theme", THEMES), ("density", DENSITIES)):
        if visit.form.get(name) in allowed:
            answer.set_cookie(f"snaptable_{name}", visit.form[name], YEAR, path=visit.base or "/", samesite="strict")
    return answer


def state(visit: Visit) -> Response:
    """Return how the store is doing: the foot of the sidebar, as HTML, and the figures beside tables."""
    now = StoreState.of(visit.db)
    foot = visit.site.templates.get_template("foot.html").render(state=now, url=visit.url)
    rows = {name: now.count(name) for name in visit.site.shown}
    return visit.json({"sequence": now.sequence, "level": now.level, "foot": foot, "rows": rows})
