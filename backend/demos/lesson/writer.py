"""A process that adds one message after the other, tells each on standard output, and is there to be killed.

`python -m demos.lesson.writer naive|ours FOLDER`
"""

import sys
from pathlib import Path

from demos.lesson.naive import FILE, NaiveStore


def main(side: str, folder: Path) -> None:
    """Write until killed."""
    if side == "naive":
        store = NaiveStore(folder / FILE)
        messages = store.load()
        while True:
            messages.append({"id": len(messages) + 1, "sender": 1, "text": "one more"})
            store.save(messages)
            tell()
    from demos.lesson.tables import Mail  # the naive side needs no library, and starts sooner

    with Mail(folder, banner=False) as db:
        while True:
            db.messages.create(sender=1, text="one more")
            tell()


def tell() -> None:
    """Tell that a message was added."""
    sys.stdout.write(".")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
