"""The pages, one module each: a function `add_to(site)` adds a page's routes and its place in the sidebar.

What a handler gets is a `Visit`: `visit.render("overview.html", active="overview", …)` answers with a template that
extends `base.html`. A page comes to life by its name in `ALL`.
"""

from snaptable.admin.pages import editing, go_to, overview, preferences, row, table

ALL = (overview, table, row, editing, go_to, preferences)

__all__ = ["ALL"]
