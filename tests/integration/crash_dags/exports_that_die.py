"""Exports whose process is killed at a certain point of their first try: a DAG for each delivery.

A point is an event of the process: before bytes go to Mailchimp, before a file of the run is put in place, taken
or removed. One export that nobody kills tells how many there are; those that die are spread over all of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

PLACE = Path(os.environ["CRASH_PLACE"])
PORT = int(os.environ["CRASH_PORT"])
POINTS = int(os.environ["CRASH_POINTS"])
WHOLE = "whole"
PLACES = {"os.link": 1, "os.rename": 1, "os.remove": 0}
"""Events of files, and which of their arguments is the file in its place."""


class Witness:
    """Notes each event of this process, and kills it at a given one, before it happens.

    :param told: the file with the events, one JSON object a line; killing leaves it whole.
    """

    def __init__(self, told: Path, *, dies_at: int | None, **known: Any) -> None:
        self._file = os.open(told, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._dies_at = dies_at
        self._known = known
        self._events = count()
        self._lock = threading.Lock()
        self._exports = str(PLACE / "exports")

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take in what is about to happen; called by Python itself."""
        if event == "http.client.send" and arguments[0].port == PORT:
            self._note(event, members_in(arguments[1]))
        elif event in PLACES and self._is_ours(arguments[PLACES[event]]):
            self._note(event, 0)

    def _is_ours(self, path: Any) -> bool:
        return str(path).startswith(self._exports) and ".draft-" not in str(path)

    def _note(self, event: str, members: int) -> None:
        with self._lock:
            number = next(self._events)
            if number == self._dies_at:
                self._tell({"event": "killed", "before": event, "number": number})
                os.kill(os.getpid(), signal.SIGKILL)
            self._tell({"event": event, "members": members, "number": number})

    def _tell(self, what: Mapping[str, Any]) -> None:
        os.write(self._file, f"{json.dumps({**self._known, **what})}\n".encode())


def members_in(data: bytes) -> int:
    """Count the people whom a request's body sends, in a batch too."""
    return data.count(b'"email_address')


def dies_at(delivery: str, point: int, phase: str) -> int | None:
    """Return the number of the event before which the process dies; ``None`` where not in this phase."""
    lines = (PLACE / f"{delivery}.{WHOLE}.jsonl").read_text(encoding="utf-8").splitlines()
    phases = [json.loads(line)["phase"] for line in lines]
    place = round(point * (len(phases) - 1) / (POINTS - 1))
    return place - phases.index(phase) if phases[place] == phase else None


class MortalExportOperator(SegmentToMailchimpOperator):
    """An export whose first try dies.

    :param point: which of the points; ``None`` lets it live.
    """

    def __init__(self, *, point: int | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = point

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan and send, until death."""
        self._watch(context, "execute")
        return super().execute(context)

    def execute_complete(self, context: Any, *arguments: Any, **kwargs: Any) -> dict[str, Any]:
        """Account, until death."""
        self._watch(context, "execute_complete")
        return super().execute_complete(context, *arguments, **kwargs)

    def _watch(self, context: Any, phase: str) -> None:
        attempt = context["ti"].try_number
        at = None
        if self.point is not None and attempt == 1:
            at = dies_at(self.delivery, self.point, phase)
        sys.addaudithook(
            Witness(PLACE / f"{self.export_name}.jsonl", dies_at=at, phase=phase, attempt=attempt)
        )


def export(delivery: str, point: int | None) -> MortalExportOperator:
    """Return the export that dies at a point."""
    name = WHOLE if point is None else f"{point:02}"
    segments = {
        segment: {
            "uri": str(PLACE / "segments" / f"{delivery}.{name}.{segment}.parquet"),
            "tag": f"{segment} {delivery} {name}",
        }
        for segment in ("early", "late")
    }
    return MortalExportOperator(
        task_id=f"export_{name}",
        export_name=f"{delivery}.{name}",
        point=point,
        delivery=delivery,
        segments=segments,
        field_map={"EMAIL": "email", "FNAME": "first_name", "LNAME": "last_name"},
        options={"adopt_existing_tag": True, "max_removal_ratio": 1.0},
        exports_root=str(PLACE / "exports"),
        deferrable=delivery == "batch",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )


for delivery in ("direct", "batch"):
    with DAG(
        f"dies_by_{delivery}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False
    ):
        export(delivery, None) >> [export(delivery, point) for point in range(POINTS)]
