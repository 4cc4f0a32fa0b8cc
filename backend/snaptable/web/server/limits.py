"""What a client may take of a server: bytes, seconds, connections."""

from dataclasses import dataclass, fields

KIB = 1024


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Limits on heads, bodies, readers and connections; what is over one ends, and the others don't notice.

    Raises:
        ValueError: a limit is not above zero (`connections_per_address` may be zero).
    """

    head_bytes: int = 64 * KIB
    """Largest head of a request in bytes: its first line and its header lines, or the trailers after a body. 431."""
    head_lines: int = 256
    """Most header lines of a request. 431."""
    head_seconds: float = 10.0
    """Seconds in which a head must be complete, counted from the connection or from the head's first byte. 408."""
    keep_alive_seconds: int = 5
    """Seconds that a connection may be idle between two requests."""

    body_seconds: float = 30.0
    """Length in seconds of the windows in which a body must make the progress below. 408."""
    body_rate: int = 4 * KIB
    """Least pace of a body in bytes a second, as an average over such a window."""

    reader_seconds: float = 30.0
    """Length in seconds of the windows in which a client must take some of the answer that waits for it. It is cut."""
    reader_rate: int = 1 * KIB
    """Least pace of such a client in bytes a second, as an average over a window; where the system doesn't count the
    bytes that were acknowledged (it does on Linux), any progress will do."""

    connections: int = 4096
    """Most connections at once; fewer if the process may not open twice as many files."""
    connections_per_address: int = 512
    """Most connections of one address (of one /64 in IPv6), and never more than half of all; 0 for no such limit."""
    backlog: int = 128
    """Connections that the system keeps waiting while no more are accepted."""
    open_files: int = 65_536
    """What the soft limit of open files is raised to at a start, if the hard one allows it."""

    stop_seconds: int = 3
    """Seconds that a stop waits for requests that are being answered."""

    def __post_init__(self) -> None:
        """Refuse limits that would let no client in, or any for ever."""
        for field in fields(self):
            value = getattr(self, field.name)
            may_be_zero = field.name in ("connections_per_address", "stop_seconds")
            if not (value >= 0 if may_be_zero else value > 0):
                raise ValueError(f"ServerLimits({field.name}={value!r}): give a number above zero")

    @property
    def sweep_seconds(self) -> float:
        """The pause between two looks at all connections: a second, or less where a limit is short."""
        return min(1.0, self.head_seconds / 4, self.body_seconds / 4, self.reader_seconds / 4)
