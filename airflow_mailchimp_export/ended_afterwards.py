"""Asking Airflow something in a task that Airflow may end meanwhile."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_afterwards() -> Iterator[None]:
    """Let Airflow end the task only after what is within.

    A task has one line to Airflow, on which one asks at a time. Airflow ends a task by a signal, on which the task asks
    for its connection, to call its batches off: it would wait for ever where it comes in the middle of what is asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        if came:
            signal.raise_signal(signal.SIGTERM)
