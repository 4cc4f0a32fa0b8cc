"""Which blobs are in use: being stored by some process, or named by history alone.

A process that stores a blob pins it before the bytes get their name, and until the row that refers to them is
committed. One that removes a blob holds the lock of its record meanwhile, and looks for pins and rows under it: so
whichever comes second waits, and sees what the first has done. A pin ends by itself, for processes that were killed.
"""

from collections.abc import Callable, Collection, Mapping

from app.shared.tables import Ask, SharedTables

PIN_MINUTES = 10
"""How long a blob stays pinned whose process has ended; the transaction that refers to it takes seconds at most."""
_PIN = f"""
    insert into backend_blobs as known (sha256, pins, pinned_until)
    values (%(sha256)s, 1, now() + interval '{PIN_MINUTES} minutes') on conflict (sha256) do update set
    pins = case when known.pinned_until > now() then known.pins + 1 else 1 end, pinned_until = excluded.pinned_until
"""
_UNPIN = "update backend_blobs set pins = greatest(pins - 1, 0) where sha256 = %(sha256)s"
_LOCK = """
    insert into backend_blobs as known (sha256) values (%(sha256)s) on conflict (sha256) do update set pins = known.pins
    returning coalesce(known.pins > 0 and known.pinned_until > now(), false), kept_since is not null
"""
_IS_NAMED = "select exists(select from documents where sha256 = %(sha256)s)"
_KEEP = """
    insert into backend_blobs as known (sha256, kept_since, size) select * from
    unnest(%(names)s::text[], array_fill(clock_timestamp(), array[cardinality(%(names)s::text[])]), %(sizes)s::int8[])
    on conflict (sha256) do update set
    kept_since = coalesce(known.kept_since, excluded.kept_since), size = excluded.size
"""
_BEYOND = """
    select sha256 from (select sha256, kept_since, sum(size) over (order by kept_since desc, sha256 desc) as total
    from backend_blobs where kept_since is not null) as kept where total > %(most)s order by kept_since, sha256
"""
_CLEAR = """
    delete from backend_blobs where coalesce(pinned_until, '-infinity') < now() and (kept_since is null or
    not sha256 = any(%(names)s::text[]))
"""


class SharedBlobUses:
    """The uses of blobs, in a table."""

    def __init__(self, tables: SharedTables) -> None:
        """Take where the table is."""
        self._tables = tables

    def pin(self, sha256: str) -> None:
        """Keep a blob from being removed by any process; waits for one that is removing it."""
        self._tables.ask(_PIN, {"sha256": sha256})

    def unpin(self, sha256: str) -> None:
        """Take a pin back; one that stays because the server went away ends by itself.

        Raises:
            Unavailable: the server went away.
        """
        # Done twice, it would take another process's pin, and the bytes of its document could go.
        self._tables.ask_once(_UNPIN, {"sha256": sha256})

    def remove(self, sha256: str, unlink: Callable[[], None], *, kept_too: bool) -> bool:
        """Call what removes a blob, unless a process pins it or a row names it; return whether it was called.

        Args:
            sha256: the blob.
            unlink: removes the file.
            kept_too: whether one may go that is kept for history.
        """

        def work(ask: Ask) -> bool:
            ((is_pinned, is_kept),) = ask(_LOCK, {"sha256": sha256})
            ((is_named,),) = ask(_IS_NAMED, {"sha256": sha256})
            if is_pinned or is_named or (is_kept and not kept_too):
                return False
            unlink()
            ask("delete from backend_blobs where sha256 = %(sha256)s", {"sha256": sha256})
            return True

        return self._tables.aside(work)

    def keep(self, sizes: Mapping[str, int]) -> None:
        """Take note that history alone may name blobs from now on, in this order; sizes are in bytes."""
        if sizes:
            self._tables.ask(_KEEP, {"names": list(sizes), "sizes": list(sizes.values())})

    def beyond(self, most: int) -> list[str]:
        """Return the blobs that were released first, and are too many bytes beside those released after them."""
        return [str(name) for (name,) in self._tables.ask(_BEYOND, {"most": most})]

    def unnamed(self, names: Collection[str]) -> set[str]:
        """Return the blobs that no row names."""
        named = self._tables.ask(
            "select sha256 from documents where sha256 = any(%(names)s::text[])", {"names": [*names]}
        )
        return set(names) - {str(name) for (name,) in named}

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the uses of blobs that are not kept for history, but for pins."""
        self._tables.ask(_CLEAR, {"names": [*names]})
