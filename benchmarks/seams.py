"""What is put in the place of the client and the folder, to see the phases of an export from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from airflow_mailchimp_export.state.run import PLAN, RunFolder
from benchmarks.stopwatch import Stopwatch

T = TypeVar("T")

READ, LOOK_UP, PLANNING, ENCODE, HAND_OVER = "read", "look up", "plan", "encode", "hand over"

_MERGE_FIELDS = [
    {"tag": "FNAME", "name": "First name", "type": "text"},
    {"tag": "LNAME", "name": "Last name", "type": "text"},
    {"tag": "BIRTHDAY", "name": "Birthday", "type": "birthday", "options": {"date_format": "MM/DD"}},
]


class SilentClient(MailchimpClient):
    """An empty audience that takes every batch and costs no time: what is left is the export's own work."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__("http://127.0.0.1:9/3.0", "unused-us0")
        self._watch = watch
        self._batches = 0

    def send(self, call: Call[T], *, permit: Callable[[], None] | None = None) -> T:
        """Answer without any I/O, and note which phase the export is in."""
        if call.request.path.endswith("/members"):
            # While it hands over, the export asks now and then who opted out: that is part of handing over.
            if self._watch.phase != HAND_OVER:
                self._watch.enter(LOOK_UP)
            answer = call.read({"members": [], "total_items": 0})
            if self._watch.phase == LOOK_UP:
                self._watch.enter(PLANNING)
            return answer
        if call.request.path == "/batches":
            self._batches += 1
            return call.read({"id": f"batch{self._batches}", "status": "pending"})
        if call.request.path.endswith("/merge-fields"):
            return call.read({"merge_fields": _MERGE_FIELDS})
        return call.read({"id": "a1b2c3d4e5", "name": "Audience", "tags": []})


class WatchedFolder(RunFolder):
    """A run's folder that notes when the plan is being written, which is when members are encoded."""

    def __init__(self, location: Path, watch: Stopwatch) -> None:
        super().__init__(location)
        self._watch = watch

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Write as usual."""
        if name == PLAN:
            self._watch.enter(ENCODE)
        with super().writing(name) as draft:
            yield draft
        if name == PLAN:
            self._watch.enter(HAND_OVER)


class WatchedClient(MailchimpClient):
    """The real client, which notes how long each delivery of members takes.

    :ivar calls: begin and end of each call that carried members, by a clock that never goes back.
    """

    def __init__(self, base_url: str, token: str, *, max_connections: int) -> None:
        super().__init__(base_url, token, max_connections=max_connections)
        self.calls: list[tuple[float, float]] = []
        self._lock = threading.Lock()

    def send(self, call: Call[T], *, permit: Callable[[], None] | None = None) -> T:
        """Send as usual."""
        begin = time.monotonic()
        answer = super().send(call, permit=permit)
        if carries_members(call.request):
            with self._lock:
                self.calls.append((begin, time.monotonic()))
        return answer

    @property
    def delivery_seconds(self) -> float:
        """From the begin of the first such call to the end of the last."""
        return max(end for _, end in self.calls) - min(begin for begin, _ in self.calls)


def carries_members(request: Request) -> bool:
    """Whether a request brings a chunk to an audience."""
    return request.method == "POST" and request.path.startswith("/lists/") and request.path.count("/") == 2
