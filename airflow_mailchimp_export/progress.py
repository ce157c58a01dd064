"""How long work is going: lines in the log, or a bar on a terminal; and whoever else wants to know."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

log = logging.getLogger("airflow_mailchimp_export")

LINE_EVERY = 5.0
"""Seconds between two lines."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a run is.

    :param phase: what is being done, such as ``"Sending"``.
    :param unit: what is counted, such as ``"members"``.
    :param total: how many there are in all; ``None`` where that is not known yet.
    """

    phase: str
    unit: str
    done: int
    total: int | None = None


Listener = Callable[[Stage], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener, *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Tell a listener of all work within, at most every :data:`LINE_EVERY` seconds; what it raises is ignored."""
    token = _LISTENER.set(_at_intervals(listener, clock))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def note(stage: Stage) -> None:
    """Tell whoever listens how far a run is."""
    if listener := _LISTENER.get():
        listener(stage)


def _at_intervals(listener: Listener, clock: Callable[[], float]) -> Listener:
    told: list[float] = []

    def tell(stage: Stage) -> None:
        now = clock()
        if told and now - told[-1] < LINE_EVERY:
            return
        told[:] = [now]
        try:
            listener(stage)
        except Exception as error:
            log.debug("Progress could not be told (%s)", type(error).__name__)

    return tell


class Progress:
    """Counts what is done, and tells of it at most every :data:`LINE_EVERY` seconds; use it in ``with``.

    :param what: what is being done, such as ``"Sending"``.
    :param unit: what is counted, such as ``"members"``.
    :param total: how many there are in all; ``None`` where that is not known yet.
    """

    def __init__(
        self, what: str, unit: str, *, total: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._unit, self._total, self._clock = what, unit, total, clock
        self._done = 0
        self._last: int | None = None
        console = Console(stderr=True)
        self._bar = _bar(console) if sys.stderr.isatty() and console.is_interactive else None

    def __enter__(self) -> Progress:
        """Start counting."""
        self._started = self._told = self._clock()
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(f"{self._what} {self._unit}", total=self._total)
        self._note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell the last count, unless that is known already, or there was nothing to do."""
        if self._bar:
            self._bar.stop()
        if self._total != 0 and self._done != self._last:
            self._tell()

    def advance(self, count: int) -> None:
        """Count that many more."""
        self._done += count
        self._note()
        if self._bar:
            self._bar.update(self._task, completed=self._done)
        elif self._clock() - self._told >= LINE_EVERY:
            self._tell()

    def _note(self) -> None:
        note(Stage(self._what, self._unit, self._done, self._total))

    def _tell(self) -> None:
        self._told, self._last = self._clock(), self._done
        seconds = self._told - self._started
        rate = f", {self._done / seconds:,.0f}/s" if seconds > 0 else ""
        of = f" of {self._total:,}" if self._total is not None else ""
        log.info("%s: %s%s %s in %.1f s%s", self._what, f"{self._done:,}", of, self._unit, seconds, rate)


def _bar(console: Console) -> Bar:
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
