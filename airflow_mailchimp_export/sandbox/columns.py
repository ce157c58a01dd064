"""Which members have which status, in the order in which they joined, without a scan per page."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import IntEnum
from functools import lru_cache
from itertools import islice

BLOCK_BITS = 12
ABSENT = 0


class Status(IntEnum):
    """The six states of a member; 0 is kept for "not here"."""

    SUBSCRIBED = 1
    UNSUBSCRIBED = 2
    CLEANED = 3
    PENDING = 4
    TRANSACTIONAL = 5
    ARCHIVED = 6

    @property
    def word(self) -> str:
        """The word that the API uses."""
        return self.name.lower()


BY_WORD = {status.word: status for status in Status}
WORDS = ["", *BY_WORD]
LISTED = frozenset(Status) - {Status.ARCHIVED}


class Column:
    """One status byte per member, counted in blocks, so that any page of any status is found at once."""

    __slots__ = ("_blocks", "codes", "totals")

    def __init__(self) -> None:
        self.codes = bytearray()
        self.totals = [0] * (len(Status) + 1)
        self._blocks: list[list[int]] = []

    def __contains__(self, seq: int) -> bool:
        return seq < len(self.codes) and self.codes[seq] != ABSENT

    def put(self, seq: int, code: int) -> None:
        """Give the member at this place this status."""
        if seq >= len(self.codes):
            self._grow((seq >> BLOCK_BITS) + 1)
        old = self.codes[seq]
        self.codes[seq] = code
        for counts in (self.totals, self._blocks[seq >> BLOCK_BITS]):
            counts[old] -= 1
            counts[code] += 1

    def count(self, wanted: Collection[Status]) -> int:
        """How many members have one of these statuses."""
        return sum(self.totals[status] for status in wanted)

    def select(self, wanted: frozenset[Status], offset: int = 0, count: int | None = None) -> list[int]:
        """The places of a page of the members that have one of these statuses."""
        start = 0
        for number, counts in enumerate(self._blocks):
            here = sum(counts[status] for status in wanted)
            if offset < here:
                start = number << BLOCK_BITS
                break
            offset -= here
        else:
            return []
        stop = None if count is None else offset + count
        matches = _pattern(wanted).finditer(self.codes, start)
        return [match.start() for match in islice(matches, offset, stop)]

    def _grow(self, blocks: int) -> None:
        self.codes.extend(bytes((blocks << BLOCK_BITS) - len(self.codes)))
        self._blocks.extend([0] * (len(Status) + 1) for _ in range(blocks - len(self._blocks)))


@lru_cache
def _pattern(wanted: frozenset[Status]) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(bytes(wanted)) + b"]")
