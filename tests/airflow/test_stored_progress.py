"""How far a task is, is kept in Airflow without getting in the way of its end."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, cast

from airflow_mailchimp_export.progress import Stage, note
from airflow_mailchimp_export.stored_progress import stored_progress

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class Line:
    """A store that is reached by the task's one line to Airflow, which ends the task meanwhile."""

    busy = False

    def set(self, key: str, value: Any) -> None:
        """Take what is told."""
        self.busy = True
        os.kill(os.getpid(), signal.SIGTERM)
        self.busy = False


def test_a_task_that_is_ended_while_it_tells() -> None:
    """What it does on its end needs the line, so it comes afterwards, and once."""
    line, ended = Line(), []
    handler = signal.signal(signal.SIGTERM, lambda number, frame: ended.append(line.busy))
    try:
        with stored_progress(cast("Context", {"task_state_store": line})):
            note(Stage("Sending", "members", 1))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert ended == [False]
