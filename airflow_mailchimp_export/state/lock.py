"""One run of an export at a time.

The lock is a lease in ``lock.json``: the run that is at work renews it, and a lease that was not renewed belongs to
a run that is dead; so does that of a run that has its report. A run that waits for Mailchimp holds a longer
lease, because nobody is at work meanwhile.
On a local disk two runs that start in the same instant are kept apart for sure; object storage may know no
exclusive creation, so there the DAG's ``max_active_runs=1`` has to help.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from airflow_mailchimp_export.errors import ConfigError, ExportBusy
from airflow_mailchimp_export.state.run import ExportFolder

log = logging.getLogger(__name__)

LOCK = "lock.json"

LEASE = 120.0
"""Seconds for which a run that is at work holds the lock."""

RENEW_EVERY = 30.0
"""Seconds between two renewals."""

WAITING_LEASE = 7200.0
"""Seconds for which a run holds the lock while it waits for Mailchimp."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds the lock, and until when.

    :param run: the name of the run's folder.
    :param until: seconds since the epoch.
    """

    run: str
    until: float


class Lock:
    """The lock of one export, as seen by one run.

    :param run: the name of the run's folder; another attempt at the same run takes the lock over at once.
    :param now: seconds since the epoch.
    :param renew_every: seconds between two renewals.
    """

    def __init__(
        self,
        folder: ExportFolder,
        run: str,
        *,
        now: Callable[[], float] = time.time,
        renew_every: float = RENEW_EVERY,
    ) -> None:
        self._folder = folder
        self._run = run
        self._now = now
        self._renew_every = renew_every

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the run is at work; a run that fails lets go of it, one that is killed cannot.

        :raises ExportBusy: when another run holds it.
        """
        self._take()
        try:
            with self._renewed():
                yield
        except Exception:
            self.release()
            raise

    @contextmanager
    def _renewed(self) -> Iterator[None]:
        done = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(done,), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            done.set()
            renewal.join()

    def keep_waiting(self) -> None:
        """Hold the lock on for the time that Mailchimp may take."""
        self._write(WAITING_LEASE)

    def release(self) -> None:
        """Let the next run have the lock, if it is still this run's."""
        with self._folder.exclusive():
            lease = self._read()
            if lease and lease.run == self._run:
                self._folder.remove(LOCK)

    def _take(self) -> None:
        with self._folder.exclusive():
            lease = self._read()
            if lease and self._is_in_use(lease):
                raise _busy(lease, self._folder, self._now())
            self._folder.remove(LOCK)
            if not self._folder.create(LOCK, self._lease(LEASE)):
                another = self._read() or Lease("another", self._now() + LEASE)
                raise _busy(another, self._folder, self._now())

    def _is_in_use(self, lease: Lease) -> bool:
        """A run that died between its report and the release of its lock has nothing left to do."""
        if lease.run == self._run or lease.until <= self._now():
            return False
        return not self._folder.has_finished(lease.run)

    def _renew(self, done: threading.Event) -> None:
        while not done.wait(self._renew_every):
            try:
                with self._folder.exclusive():
                    lease = self._read()
                    if lease and lease.run != self._run:
                        log.warning(
                            "Run %s has taken the lock over: this run was not heard of for long", lease.run
                        )
                        return
                    self._write(LEASE)
            except (ConfigError, OSError) as error:
                log.warning("The lock could not be renewed: %s", error)

    def _read(self) -> Lease | None:
        try:
            return msgspec.json.decode(self._folder.read(LOCK), type=Lease)
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, seconds: float) -> None:
        self._folder.put(LOCK, self._lease(seconds))

    def _lease(self, seconds: float) -> bytes:
        return msgspec.json.encode(Lease(self._run, self._now() + seconds))


def _busy(lease: Lease, folder: ExportFolder, now: float) -> ExportBusy:
    return ExportBusy(
        f"Run {lease.run!r} of this export is at work, or waits for Mailchimp; its lock ends in "
        f"{lease.until - now:,.0f} s unless it is renewed. Wait for it; if you know that it is dead, "
        f"remove {folder.uri}/{LOCK}"
    )
