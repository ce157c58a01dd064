"""Says on the terminal what is being done, and since when."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType


class Steps:
    """A line per step, each with the seconds since the first."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()

    def say(self, text: str) -> None:
        """Print the line at once."""
        print(f"[{self._clock() - self._started:6.1f} s] {text}", flush=True)


def end_on_sigterm() -> None:
    """Let SIGTERM end the program as an exception does, so that everything is stopped on the way out."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def undisturbed(cleanup: ExitStack) -> None:
    """Close the stack to its end, whatever is pressed meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    cleanup.close()
