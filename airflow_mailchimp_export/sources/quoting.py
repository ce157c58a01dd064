"""Quotes and escapes in CSV files: what is not as it should be might swallow rows, and is told by its line."""

from __future__ import annotations

import re
from typing import Final, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from airflow_mailchimp_export.sources.unpacking import Readable, Stream

MAX_ROW_BYTES: Final = 2 * 1024 * 1024
"""Longest row; as much of a file is parsed at a time, and several times as much is held."""


Places: TypeAlias = "npt.NDArray[np.intp]"


class Misquoted(Exception):
    """A quote stands where none may.

    :param begins: where its value begins, in bytes of UTF-8.
    :param offset: where the quote is; ``None`` for one that is never closed.
    """

    def __init__(self, begins: int, offset: int | None) -> None:
        super().__init__("a quote stands where none may")
        self.begins = begins
        self.offset = offset


class StrictQuotes(Stream):
    """Lets text pass as long as its quotes are as RFC 4180 has them.

    A quote opens a value where that begins; behind the closing one only a delimiter or a line end may stand, and of
    two in a row within a value each stands for one.

    :param quote: what values are put in; empty for nothing.
    """

    def __init__(self, stream: Readable, *, delimiter: str, quote: str) -> None:
        self.bytes = 0
        self._stream = stream
        self._quote = quote.encode()
        self._kinds = np.full(256, _OTHER, np.uint8)
        self._kinds[list(f"{delimiter}\r\n".encode())] = _EDGE
        self._kinds[list(self._quote)] = _QUOTE
        self._last = b"\n"
        # Whether a value is open, and where it began.
        self._is_open = False
        self._began = 0

    def read(self, size: int) -> bytes:
        """Read on.

        :raises Misquoted: a quote stands where none may.
        """
        data = bytes(self._stream.read(size))
        if self._quote:
            self._look_at(data)
        self.bytes += len(data)
        return data

    def _look_at(self, data: bytes) -> None:
        if self._quote in data or self._last == self._quote:
            self._check(self._last + (data or b"\n"))
        if self._is_open and (not data or self.bytes - self._began > MAX_ROW_BYTES):
            raise Misquoted(self._began, None)
        self._last = data[-1:]

    def _check(self, text: bytes) -> None:
        """Check what stands around each quote; the first byte was read before.

        Of the quotes, each second one closes what the one before it opened.
        """
        codes = np.frombuffer(text, np.uint8)
        places = np.flatnonzero(codes == self._quote[0])
        if self._last == self._quote and self._is_open:
            places = places[1:]
        # The first byte is a quote only where it closed a value.
        closes_first = self._is_open or self._last == self._quote
        opening, closing = places[int(closes_first) :: 2], places[int(not closes_first) :: 2]
        before = self._kinds[codes[opening - 1]]
        followed = closing[:-1] if len(closing) and closing[-1] + 1 == len(text) else closing
        after = self._kinds[codes[followed + 1]]
        if not (before.all() and after.all()):
            self._refuse(opening, before, followed[after == _OTHER])
        if (before == _EDGE).any():
            self._began = self.bytes - 1 + int(opening[before == _EDGE][-1])
        self._is_open = bool((len(places) + int(closes_first)) % 2)

    def _refuse(self, opening: Places, before: npt.NDArray[np.uint8], wrongly_closing: Places) -> NoReturn:
        wrong = np.concatenate([opening[before == _OTHER][:1], wrongly_closing[:1]]).min()
        at = self.bytes - 1
        if wrong in opening:
            raise Misquoted(at + int(wrong), at + int(wrong))
        begun = opening[(before == _EDGE) & (opening < wrong)]
        raise Misquoted(at + int(begun[-1]) if len(begun) else self._began, at + int(wrong))


_OTHER, _EDGE, _QUOTE = 0, 1, 2
"""What stands beside a quote."""


class Unescaped(Stream):
    r"""Takes escapes out of text.

    ``\N`` alone in a value is nothing. Where values are quoted, an escaped quote becomes two quotes, as RFC 4180 has
    it, an escaped escape one of them, and any other ``\x`` stays these two characters, as Spark means it. Where they
    are not, escapes stay for pyarrow, which drops them and keeps what stands behind; ``\t`` and ``\n`` become a tab
    and a line end, as PostgreSQL means them.
    """

    def __init__(self, stream: Readable, *, delimiter: str, quote: str, escape: str) -> None:
        self._stream = stream
        self._quote, self._escape = quote.encode(), escape.encode()
        edge, e = b"[" + re.escape(delimiter.encode()) + b"\r\n]", re.escape(self._escape)
        self._pairs = re.compile(b"(?<=%b)%bN(?=%b)|%b(.)" % (edge, e, edge, e), re.DOTALL)
        # What was not taken yet, with the byte before it.
        self._rest = b"\n"

    def read(self, size: int) -> bytes:
        """Read on."""
        while data := bytes(self._stream.read(size)):
            text = self._rest + data
            if taken := self._taken(text, self._end_of_pairs(text)):
                return taken
        # Nothing is behind the last byte; a line end stands in for that.
        last = self._taken(self._rest + b"\n", len(self._rest))
        self._rest = self._rest[:1]
        return last

    def _end_of_pairs(self, text: bytes) -> int:
        """Return up to where each escape has what it escapes, and a byte behind that; the first byte was looked at."""
        if escapes := self._escapes_at_the_end(text[1:]):
            return len(text) - (1 if escapes % 2 else 2)
        return len(text) - (2 if self._escapes_at_the_end(text[1:-1]) % 2 else 0)

    def _escapes_at_the_end(self, text: bytes) -> int:
        return len(text) - len(text.rstrip(self._escape))

    def _taken(self, text: bytes, end: int) -> bytes:
        """Take the text up to a byte, and look at that one too, to see where a value ends."""
        # The second half of a pair begins none.
        before = text[end - 1 : end]
        self._rest = (b" " if before == self._escape else before) + text[end:]
        seen = text[: end + 1]
        plain = self._pairs.sub(self._plain, seen)
        return plain[1 : len(plain) - (len(seen) - end)]

    def _plain(self, pair: re.Match[bytes]) -> bytes:
        behind = pair[1]
        if behind is None:
            return b""
        if not self._quote:
            return self._escape + _LETTERS.get(behind, behind)
        if behind == self._quote:
            return self._quote * 2
        return self._escape if behind == self._escape else pair[0]


_LETTERS: Final = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"0": b" "}
