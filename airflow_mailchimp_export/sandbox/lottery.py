"""Which calls go wrong, drawn so that a run can be repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

KindT = TypeVar("KindT")


class Lottery:
    """Draws from the seed, the call and how often it was made: the order of arrival plays no part."""

    def __init__(self) -> None:
        self._attempts: Counter[bytes] = Counter()

    def draw(self, call: bytes, *, seed: int, rate: float, kinds: Sequence[KindT]) -> KindT | None:
        """What this call draws, if anything."""
        if rate <= 0 or not kinds:
            return None
        digest = blake2b(call, digest_size=8).digest()
        self._attempts[digest] += 1
        chance = Random(f"{seed} {digest.hex()} {self._attempts[digest]}")
        return chance.choice(kinds) if chance.random() < rate else None
