"""Waiting for what happens in other threads and processes, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120
"""Seconds after which something that should have happened counts as missing."""


def wait_until(found: Callable[[], object], what: str = "what is waited for") -> None:
    """Come back once something holds; a test that waits too long fails."""
    until = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < until, f"{what} did not happen within {PATIENCE} s"
        time.sleep(0.002)
