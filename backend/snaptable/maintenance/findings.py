"""What a check reports: problems and notices, each with its place."""

from dataclasses import dataclass, field
from typing import Literal

from snaptable.maintenance.untyped import UntypedStore

Severity = Literal["problem", "notice"]


@dataclass(frozen=True)
class Finding:
    """A problem or a notice, and its place.

    A problem keeps the store from opening, or is damage or loss; a notice is neither.

    Attributes:
        file: name below the store's directory, "" for the directory itself.
        reason: what is wrong, without the place.
        offset: byte of the file.
        line: line of the file, counted from 1.
        table, key: the row.
    """

    severity: Severity
    file: str
    reason: str
    offset: int | None = None
    line: int | None = None
    table: str | None = None
    key: str | None = None

    def json(self) -> dict[str, str | int]:
        """Return the finding as plain values, without those that are unknown."""
        plain = {"byte" if name == "offset" else name: value for name, value in vars(self).items()}
        return {name: value for name, value in plain.items() if value is not None}


@dataclass
class CheckReport:
    """The findings in a store's directory, and what was read there.

    Attributes:
        store: the state that opening would begin with, None if opening would be refused.
        snapshot_bytes: size of the snapshot, None if there is none.
        segments: number of journal files.
        sequences: the first and the last sequence they hold, None if there are no files.
    """

    findings: list[Finding] = field(default_factory=list)
    store: UntypedStore | None = None
    snapshot_bytes: int | None = None
    segments: int = 0
    sequences: tuple[int, int] | None = None

    @property
    def is_torn(self) -> bool:
        """Whether the journal ends in bytes that are not a whole frame."""
        return self.store is not None and self.store.is_torn

    @property
    def problems(self) -> list[Finding]:
        """The findings that make the store unsound."""
        return [finding for finding in self.findings if finding.severity == "problem"]

    @property
    def notices(self) -> list[Finding]:
        """The findings that are worth knowing, and no more."""
        return [finding for finding in self.findings if finding.severity == "notice"]
