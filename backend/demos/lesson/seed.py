"""Two folders to look at and to break by hand: the same thousand messages, as a dumped file and as a store."""

from pathlib import Path

from demos.lesson.naive import NaiveStore, many
from demos.lesson.steps import snapshot_in
from demos.lesson.tables import Mail, fill

MESSAGES = 1_000


def seed(folder: Path) -> dict[str, int]:
    """Make both, unless they are there; return how many messages are in each."""
    naive, ours = folder / "by-hand" / "naive", folder / "by-hand" / "snaptable"
    naive.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = NaiveStore(snapshot_in(naive))
    if not store.path.exists():
        store.save(many(MESSAGES))
    with Mail(ours, banner=False) as db:
        if not db.messages.count():
            fill(db, MESSAGES)
        return {"naive": len(store.load()), "snaptable": db.messages.count()}
