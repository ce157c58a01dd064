"""One run of an export at a time.

The lock is a lease in ``lock.json``: the run that is at work renews it, and a lease that was not renewed belongs to
a run that is dead; so does that of a run that has its report. While a run waits for Mailchimp nobody is at work, and
no clock tells whether it is alive: its lease says that it waits, and whoever finds it asks Mailchimp.
Two runs that start in the same instant are kept apart for sure on a local disk, S3, Azure and Google Cloud Storage;
where a storage knows no exclusive creation, the DAG's ``max_active_runs=1`` has to help.
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
from airflow_mailchimp_export.state.run import ExportFolder, RunFolder

log = logging.getLogger(__name__)

LOCK = "lock.json"

LEASE = 420.0
"""Seconds for which a run that is at work holds the lock: far more than lies between two renewals, because clocks of
machines may be minutes apart, and none of them may take a run for dead that is at work."""

RENEW_EVERY = 30.0
"""Seconds between two renewals."""

WAITING_LEASE = 7200.0
"""Seconds for which a run that waits keeps out whoever cannot ask Mailchimp, as release 0.1.0 cannot."""

Progress = Callable[[RunFolder], str]
"""Says how far the batches of a run that waits are; nothing where it need not be waited for."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds the lock, and until when.

    :param run: the name of the run's folder.
    :param until: seconds since the epoch.
    :param waiting: whether the run waits for Mailchimp; earlier releases did not say.
    """

    run: str
    until: float
    waiting: bool | None = None

    def may_wait(self, *, now: float) -> bool:
        """Whether the run waits, as far as its lease says: at work, no run holds the lock for so long."""
        return self.waiting if self.waiting is not None else not 0 < self.until - now <= LEASE


class Lock:
    """The lock of one export, as seen by one run.

    :param run: the name of the run's folder; another attempt at the same run takes the lock over at once.
    :param progress_of: asks Mailchimp; where it is not given, a run that waits holds the lock until its lease ends.
    :param now: seconds since the epoch.
    :param renew_every: seconds between two renewals.
    """

    def __init__(
        self,
        folder: ExportFolder,
        run: str,
        *,
        progress_of: Progress | None = None,
        now: Callable[[], float] = time.time,
        renew_every: float = RENEW_EVERY,
    ) -> None:
        self._folder = folder
        self._run = run
        self._progress_of = progress_of
        self._waits = False
        self._now = now
        self._renew_every = renew_every

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the run is at work; a run that fails lets go of it, one that is killed cannot.

        :raises ExportBusy: when another run holds it.
        :raises MailchimpError: when another run waits, and Mailchimp does not say how far it is.
        """
        self._take()
        try:
            with self._renewed():
                yield
            if self._waits:
                self._prolong(WAITING_LEASE, waiting=True)
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
        """Hold the lock on when the work is over, for the time that Mailchimp may take."""
        self._waits = True

    def release(self) -> None:
        """Let the next run have the lock, if it is still this run's."""
        with self._folder.exclusive():
            lease = self._read()
            if lease and lease.run == self._run:
                self._folder.remove(LOCK)

    def _take(self) -> None:
        waiting = self._take_unless_waiting()
        while waiting:
            # Nobody is kept from the lock while Mailchimp is asked; if it has changed hands then, all begins again.
            self._check_waiting(waiting)
            waiting = self._take_unless_waiting(besides=waiting)

    def _take_unless_waiting(self, besides: Lease | None = None) -> Lease | None:
        """Take the lock; where a run has it that waits, leave it there and return its lease.

        :param besides: the lease of a run that waits and need not be waited for.
        """
        with self._folder.exclusive():
            lease = self._read()
            if lease and lease != besides and not self._is_over(lease):
                if self._progress_of and lease.may_wait(now=self._now()):
                    return lease
                if lease.until > self._now():
                    raise self._busy(lease)
            self._folder.remove(LOCK)
            if not self._folder.create(LOCK, self._lease(LEASE)):
                raise self._busy(self._read() or Lease("another", self._now() + LEASE))
            return None

    def _is_over(self, lease: Lease) -> bool:
        """A run that died between its report and the release of its lock has nothing left to do."""
        return lease.run == self._run or self._folder.has_finished(lease.run)

    def _check_waiting(self, lease: Lease) -> None:
        progress = self._progress_of(self._folder.run_named(lease.run)) if self._progress_of else ""
        if progress:
            raise ExportBusy(
                f"Run {lease.run!r} of this export waits for Mailchimp: {progress}. It is left alone as long as its "
                "batches move",
                f"Wait for it; if you know that it is dead, remove {self._folder.uri}/{LOCK}",
            )
        log.warning("Run %s holds the lock and has nothing to wait for: it is taken over", lease.run)

    def _renew(self, done: threading.Event) -> None:
        while not done.wait(self._renew_every):
            try:
                if not self._prolong(LEASE):
                    return
            except (ConfigError, OSError) as error:
                log.warning("The lock could not be renewed: %s", error)

    def _prolong(self, seconds: float, *, waiting: bool = False) -> bool:
        """Hold the lock on, unless another run has it by now; return whether none has."""
        with self._folder.exclusive():
            lease = self._read()
            if lease and lease.run != self._run:
                log.warning("Run %s has taken the lock over: this run was not heard of for long", lease.run)
                return False
            self._folder.put(LOCK, self._lease(seconds, waiting=waiting))
            return True

    def _read(self) -> Lease | None:
        try:
            return msgspec.json.decode(self._folder.read(LOCK), type=Lease)
        except (FileNotFoundError, ValueError, msgspec.MsgspecError):
            return None

    def _lease(self, seconds: float, *, waiting: bool = False) -> bytes:
        return msgspec.json.encode(Lease(self._run, self._now() + seconds, waiting))

    def _busy(self, lease: Lease) -> ExportBusy:
        return ExportBusy(
            f"Run {lease.run!r} of this export is at work, or waits for Mailchimp; its lock ends in "
            f"{lease.until - self._now():,.0f} s unless it is renewed",
            f"Wait for it; if you know that it is dead, remove {self._folder.uri}/{LOCK}",
        )
