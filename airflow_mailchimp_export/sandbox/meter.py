"""Counts what arrives: for benchmarks, for tests, and for the page."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

LOG_LENGTH = 10_000
RATE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One request in the log."""

    at: float
    method: str
    path: str
    status: int
    members: int
    seconds: float
    fault: str


@dataclass(eq=False)
class Meter:
    """All counters since the start or the last reset."""

    clock: Callable[[], float] = time.monotonic
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    operations: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rows_received: int = 0
    rows_handled: int = 0
    distinct: set[bytes] = field(default_factory=set)
    repeated: set[bytes] = field(default_factory=set)
    bytes_in: int = 0
    bytes_out: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    seconds_at: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    log: deque[Entry] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))
    per_second: deque[list[int]] = field(default_factory=lambda: deque(maxlen=RATE_SECONDS))
    _since: float = 0.0

    def __post_init__(self) -> None:
        """Start the clock of the histogram."""
        self._since = self.clock()

    def successor(self) -> Meter:
        """A meter that begins now, with what is in flight."""
        return Meter(self.clock, in_flight=self.in_flight, max_in_flight=self.in_flight)

    def level(self, in_flight: int) -> None:
        """Note that so many requests are in flight from now on."""
        now = self.clock()
        self.seconds_at[self.in_flight] += now - self._since
        self._since, self.in_flight = now, in_flight
        self.max_in_flight = max(self.max_in_flight, in_flight)

    def note(self, route: str, entry: Entry) -> None:
        """Count one request that has been answered, or cut."""
        self.requests[route, entry.status] += 1
        self.log.append(entry)
        second = int(self.clock())
        if not self.per_second or self.per_second[-1][0] != second:
            self.per_second.append([second, 0, 0])
        self.per_second[-1][1] += 1
        self.per_second[-1][2] += entry.members

    def address(self, digest: bytes) -> None:
        """Note an address of a bulk call."""
        (self.repeated if digest in self.distinct else self.distinct).add(digest)

    def to_json(self) -> dict[str, Any]:
        """Everything that was counted."""
        self.level(self.in_flight)
        return {
            "requests": _nested(self.requests),
            "operations": _nested(self.operations),
            "faults": dict(self.faults),
            "member_rows": {
                "received": self.rows_received,
                "handled": self.rows_handled,
                "distinct": len(self.distinct),
                "repeated": len(self.repeated),
            },
            "bytes": {"in": self.bytes_in, "out": self.bytes_out},
            "in_flight": {
                "now": self.in_flight,
                "max": self.max_in_flight,
                "seconds": {str(level): round(spent, 6) for level, spent in sorted(self.seconds_at.items())},
            },
        }

    def last_requests(self, count: int) -> list[dict[str, Any]]:
        """The newest entries of the log, oldest first."""
        return [asdict(entry) for entry in list(self.log)[-count:]] if count > 0 else []

    def rates(self) -> list[tuple[int, int]]:
        """Requests and members of each of the last seconds."""
        now = int(self.clock())
        found = {second: (requests, members) for second, requests, members in self.per_second}
        return [found.get(now - back, (0, 0)) for back in range(RATE_SECONDS - 1, -1, -1)]


def _nested(counts: Counter[tuple[str, int]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (route, status), count in sorted(counts.items()):
        nested.setdefault(route, {})[str(status)] = count
    return nested
