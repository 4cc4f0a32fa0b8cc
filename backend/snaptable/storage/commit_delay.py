"""The moment that a batch of tasks waits for company before it is written.

Where a batch was begun while another was written, those whom that acknowledged may come back at once, and are waited
for: the callers of a busy server would else stay in two groups that each pay for a frame and a snapshot (PostgreSQL's
`commit_delay` is there for the same).
"""

import time

from snaptable.storage.commit_batch import CommitBatch, U

COMMIT_DELAY = 0.001
"""Seconds that a batch of tasks waits, at most, for those whom the batch before it acknowledged; never longer than
writing that took."""
COMMIT_DELAY_STEP = 0.00025
"""Seconds between two looks at whether they are there."""


class CommitDelay:
    """How many commits the next batch of tasks waits for, and until when; changed by one leader at a time."""

    def __init__(self) -> None:
        """Begin with nobody to wait for."""
        self._expected, self._until = 0, 0.0

    def expect(self, commits: int) -> None:
        """Set how many commits the next batch waits for; 0 for none."""
        self._expected = commits

    def wait(self, batch: CommitBatch[U]) -> None:
        """Return when those who are expected have joined a batch, or could have; at most `COMMIT_DELAY`."""
        while len(batch.commits) < self._expected and time.monotonic() < self._until:
            time.sleep(COMMIT_DELAY_STEP)

    def begin(self, seconds: float) -> None:
        """Start the wait of the next batch, which is no longer than the `seconds` that writing the last one took."""
        self._until = time.monotonic() + min(COMMIT_DELAY, seconds)
