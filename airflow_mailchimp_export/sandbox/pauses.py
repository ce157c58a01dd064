"""Simulated time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

POLL = 0.02
"""Seconds after which whoever waits looks up, whether the settings still say so."""


def always() -> bool:
    """Nothing ends the pause early."""
    return True


async def pause(seconds: Callable[[], float], *, wanted: Callable[[], bool] = always) -> bool:
    """Let as much time pass as the settings say at each moment; False: it was no longer wanted."""
    since = time.monotonic()
    # At least one turn, so that others get theirs.
    await asyncio.sleep(0)
    while wanted():
        left = since + seconds() - time.monotonic()
        if left <= 0:
            return True
        await asyncio.sleep(min(left, POLL))
    return False
