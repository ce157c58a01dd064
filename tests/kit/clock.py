"""Time that passes only while somebody sleeps."""

from __future__ import annotations


class FakeClock:
    """A clock that stands still until somebody sleeps; call it for the time.

    :ivar pauses: the seconds of each sleep.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.pauses: list[float] = []

    def __call__(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.pauses.append(seconds)
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        """The same for coroutines."""
        self.sleep(seconds)
