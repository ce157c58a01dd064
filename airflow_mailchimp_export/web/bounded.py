"""Content of others in bounded memory: how much is read of it, and how much may come of it as JSON."""

from __future__ import annotations

from typing import IO, Any

import orjson

MAX_JSON_VALUES = 10_000_000
"""Most values of a JSON text, each of which takes some 60 bytes of memory, be it written in two; the answers to a whole
batch of 20,000 members have some 3 million."""


class TooMuch(ValueError):
    """More than any proper answer holds."""


def parsed(content: bytes, *, most: int = MAX_JSON_VALUES) -> Any:
    """Return what a JSON text holds.

    :param most: values.
    :raises TooMuch: when it may hold more.
    :raises orjson.JSONDecodeError: when it is no JSON.
    """
    if len(content) > most and sum(map(content.count, (b",", b"[", b"{"))) > most:
        raise TooMuch(f"more than {most:,} values")
    return orjson.loads(content)


class BoundedStream:
    """A stream that ends with an error once too much was read of it.

    :param most: bytes.
    """

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream = stream
        self._most = most
        self._left = most

    def read(self, size: int) -> bytes:
        """Read on.

        :raises TooMuch: when the stream is too long.
        """
        content = self._stream.read(min(size, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise TooMuch(f"more than {self._most:,} bytes")
        return content
