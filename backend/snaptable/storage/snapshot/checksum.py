"""The CRC-32 of a file whose parts are known: combined from theirs in O(parts), without reading the bytes again.

A checksum is a polynomial over GF(2). Bytes that follow multiply it by x to the number of their bits; so the checksum
of two parts joined is that of the first, times that power, plus that of the second. This is what zlib calls
`crc32_combine`; Python doesn't offer it.
"""

import zlib
from collections.abc import Sequence
from functools import cache, lru_cache

_POLYNOMIAL = 0xEDB88320
"""The CRC-32 polynomial as zlib writes it: the highest power in the lowest bit."""
_ONE = 1 << 31
SMALL = 64
"""Bytes that are sooner read again than their checksum is combined."""
_BYTE = 1 << 23
"""x to the 8: the factor for one byte that follows."""


def _times_x(value: int) -> int:
    return (value >> 1) ^ _POLYNOMIAL if value & 1 else value >> 1


def _reduced(nibble: int) -> int:
    for _ in range(4):
        nibble = _times_x(nibble)
    return nibble


_REDUCED = tuple(map(_reduced, range(16)))


def times(first: int, second: int) -> int:
    """Return the product of two polynomials, modulo that of CRC-32; 2 µs, four bits at a time."""
    return _product(first, _multiples(second))


def _multiples(factor: int) -> tuple[int, ...]:
    """Return the products of a polynomial with each one of four bits: what multiplying by it again and again needs."""
    b = factor
    c = _times_x(b)
    d = _times_x(c)
    e = _times_x(d)
    return (
        0, e, d, d ^ e, c, c ^ e, c ^ d, c ^ d ^ e,
        b, b ^ e, b ^ d, b ^ d ^ e, b ^ c, b ^ c ^ e, b ^ c ^ d, b ^ c ^ d ^ e,
    )  # fmt: skip


def _product(first: int, multiples: tuple[int, ...]) -> int:
    product = multiples[first & 15]
    for place in (4, 8, 12, 16, 20, 24, 28):
        product = (product >> 4) ^ _REDUCED[product & 15] ^ multiples[(first >> place) & 15]
    return product


@cache
def _shifts(place: int) -> tuple[list[int], int]:
    """Return x to eight times each value of a length's hexadecimal digit at a place, and to that of one place up."""
    base = _shifts(place - 1)[1] if place else _BYTE
    powers = [_ONE]
    for _ in range(16):
        powers.append(times(powers[-1], base))
    return powers[:16], powers[16]


@lru_cache(maxsize=4096)
def shift(length: int) -> int:
    """Return the factor of a checksum for `length` bytes that follow; 2 µs for each hexadecimal digit of it.

    Kept, because most changes of a row leave its line as long as it was: then the part of the file that it lies in, and
    all its rows, are as long as before.
    """
    factor, place = _ONE, 0
    while length:
        if length & 15:
            factor = times(factor, _shifts(place)[0][length & 15])
        length >>= 4
        place += 1
    return factor


class ChecksummedBytes:
    """Some bytes of a file, in buffers; their checksum is computed once, when it is first needed."""

    __slots__ = ("_checksum", "_multiples", "buffers", "size")

    def __init__(self, buffers: Sequence[bytes]) -> None:
        self.buffers = buffers
        self.size = sum(map(len, buffers))
        self._multiples: tuple[int, ...] | None = None
        """Of the factor of the checksum of what comes before; None until the checksum is computed."""
        self._checksum = 0

    def after(self, checksum: int) -> int:
        """Return the checksum of a file's bytes up to the end of these; `checksum` is that of the bytes before."""
        if self.size <= SMALL:
            for buffer in self.buffers:
                checksum = zlib.crc32(buffer, checksum)
            return checksum
        if self._multiples is None:
            # Joined, though that costs a tenth more: computing a checksum releases the interpreter's lock, and getting
            # it back may take 5 ms if another thread is busy. So this happens once, not once a buffer.
            self._checksum = zlib.crc32(self.buffers[0] if len(self.buffers) == 1 else b"".join(self.buffers))
            self._multiples = _multiples(shift(self.size))
        return _product(checksum, self._multiples) ^ self._checksum
