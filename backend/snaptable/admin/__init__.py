"""The admin page for any `Database`: look at it, change it, take it back. `snaptable[admin]` brings what it needs.

    app = FastAPI()
    mount_admin(app, db)  # at /admin; each start writes a link with a token to standard error

The README beside this file says who may enter, and how a page is added.
"""

from snaptable.admin.access import Admin, AdminAuth
from snaptable.admin.mounting import mount_admin
from snaptable.admin.site import NavItem, Site, Visit

__all__ = ["Admin", "AdminAuth", "NavItem", "Site", "Visit", "mount_admin"]
