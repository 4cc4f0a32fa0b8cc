"""The pages, one module each: a function `add_to(site)` adds a page's routes and its place in the sidebar.

What a handler gets is a `Visit`: `visit.render("overview.html", active="overview", …)` answers with a template that
extends `base.html`. A page comes to life by its name in `ALL`.
"""

from snaptable.admin.pages import (
    backups,
    carry,
    editing,
    go_to,
    history,
    overview,
    preferences,
    proposals,
    row,
    table,
    the_file,
    time_machine,
    users,
)

ALL = (
    overview,
    table,
    row,
    editing,
    go_to,
    preferences,
    history,
    time_machine,
    the_file,
    carry,
    users,
    backups,
    proposals,
)

__all__ = ["ALL"]
