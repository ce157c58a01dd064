"""Time that passes only when a test lets it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


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


class FakeCalendar:
    """The date and the time, today's unless given, which stand still until they are set forward; call it for them."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC)

    def __call__(self) -> datetime:
        """The date and the time."""
        return self.now

    def forward(self, **by: float) -> None:
        """Let time pass at once; ``by`` is what a ``timedelta`` takes."""
        self.now += timedelta(**by)
