"""The JSON of rows that pages show again and again: to write it is a fifth of what answering a list costs.

A stored row never changes, so its text is right as long as there is the row: it is found by the row's identity, and
nothing has to be invalidated. What is kept holds its rows, or another row could come to have the identity of one that
is gone.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from snaptable.codec import Codec

MOST_BYTES = 1 << 20
"""Of the texts that are kept for one table; with more, they are forgotten all at once."""
LARGE = MOST_BYTES // 4
"""Bytes of a page from which on it is not kept."""
MOST_SEEN = 10_000
"""Identities of rows that were shown lately."""


class RowTexts:
    """The texts of one table's rows, up to `MOST_BYTES`: of those that pages showed before."""

    def __init__(self, codec: Codec) -> None:
        """Begin without any."""
        self._codec = codec
        self._kept = _Kept()
        self._seen: set[int] = set()
        """Of rows that may be gone; what it is wrong about is kept a page too early."""

    @staticmethod
    def may_keep(codec: Codec) -> bool:
        """Return whether a row's JSON depends on its values alone: code of a model's own may write the time of day."""
        return codec.trusted and not codec.model.model_computed_fields

    def array(self, rows: Sequence[BaseModel], most: int | None) -> bytes | None:
        """Return rows as `Codec.array_json`; None if that is to write them, as it is for those shown once.

        O(their bytes), a tenth of what writing costs. Threads may ask side by side.

        Args:
            rows: as they are stored.
            most: bytes that it may take; None for any number.
        """
        kept = self._kept  # once: another thread may begin anew meanwhile
        try:
            text = b",".join(map(kept.texts.get, map(id, rows)))  # type: ignore[arg-type]  # None is a TypeError
        except TypeError:
            texts = self._written(kept, rows) if self._were_shown(rows) else None
            if texts is None:
                return None
            text = b",".join(texts)
        return b"[%b]" % text if most is None or len(text) + 2 <= most else None

    def _were_shown(self, rows: Sequence[BaseModel]) -> bool:
        """Return whether half of some rows were asked for before."""
        asked = set(map(id, rows))
        were_shown = 2 * len(self._seen & asked) >= len(asked)
        if not were_shown:
            self._seen = asked if len(self._seen) > MOST_SEEN else self._seen
            self._seen |= asked
        return were_shown

    def _written(self, kept: "_Kept", rows: Sequence[BaseModel]) -> list[bytes] | None:
        """Return the texts of rows, which are kept from now on; None if they are large."""
        texts, size = list[bytes](), 0
        for row in rows:
            text = kept.texts.get(id(row))
            if text is None:
                text = self._codec.array_json([row])[1:-1]
                size += len(text)
                if size > LARGE:
                    return None
                kept.add(row, text)
            texts.append(text)
        if kept.size > MOST_BYTES:
            self._kept = _Kept()
        return texts


class _Kept:
    """Texts by their rows' identities, and the rows: replaced as a whole, so that no text outlives its row."""

    __slots__ = ("_rows", "size", "texts")

    def __init__(self) -> None:
        self.texts: dict[int, bytes] = {}
        self._rows: dict[int, BaseModel] = {}
        self.size = 0

    def add(self, row: BaseModel, text: bytes) -> None:
        """Keep a text, and before it its row."""
        self._rows[id(row)] = row
        self.texts[id(row)] = text
        self.size += len(text)
