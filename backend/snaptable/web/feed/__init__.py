"""Changes as they happen, for whoever may see them: server-sent events over `Database.history.follow`.

app.include_router(feed_router(db, caller=get_user, rules={"notes": Rules(read=…)}), prefix="/api")

events         what is sent, and how it is spelled
visible        which of a commit's changes a caller may see
open_streams   how many streams there may be
stream         one stream: commits, bookmarks, its end
router         `feed_router`: the place that is asked for, and the answer
"""

from snaptable.web.feed.router import feed_router

__all__ = ["feed_router"]
