"""A run that waits for Mailchimp, and others that would like to begin: Mailchimp says whether anybody is to wait."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ExportBusy, RetryableError
from airflow_mailchimp_export.finalizing import LOCK_ATTEMPTS, LOCK_PAUSE, finalize
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.sandbox.batch_state import BatchStatus
from airflow_mailchimp_export.state.lock import LOCK, WAITING_LEASE, Lock
from airflow_mailchimp_export.state.notes import WATCH
from airflow_mailchimp_export.state.run import BATCHES, SET_ASIDE, RunFolder
from tests.kit.archives import finished
from tests.kit.client import raising
from tests.kit.life import Life, changing
from tests.kit.people import people
from tests.kit.sandbox import InProcessClient
from tests.kit.waiting import wait_until

ADA, BO = "ada@brieftaube.eu", "bo@brieftaube.eu"
SEGMENTS = {"A": people(ADA, BO)}
STALL = 1800


class Clock:
    """The time, as the gateway has it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def go_on(self, **time: float) -> None:
        """Let time pass."""
        self.now += timedelta(**time)


@pytest.fixture
def clock(life: Life) -> Clock:
    """The clock of a life."""
    life.now = clock = Clock()
    return clock


@pytest.fixture
def waiting(life: Life, clock: Clock) -> RunFolder:
    """A run that waits for a batch which Mailchimp does not begin with."""
    life.account.settings.change({"batch_pending": 3600.0})
    return life.submit(SEGMENTS, delivery=Delivery.BATCH)[1]


def busy(life: Life) -> str:
    """Let another run begin, which is refused; return what it is told."""
    with life.watched() as seen, pytest.raises(ExportBusy) as caught:
        life.run({"A": people(ADA)}, name="other")
    assert changing(seen) == []
    assert not life.folder.exists("other/run.json")
    return str(caught.value)


def moving(life: Life, folder: RunFolder, done: int, *, status: str = "started") -> None:
    """Let Mailchimp say how many of nine operations are done."""
    (batch,) = folder.batches
    told = finished(
        batch.id, status=status, total_operations=9, finished_operations=done, response_body_url=""
    )
    life.script[f"GET /batches/{batch.id}"] = lambda request: told


def over(life: Life) -> None:
    """Let Mailchimp finish the batches, and say so."""
    life.script.clear()
    life.account.settings.change({"batch_pending": 0.0})
    batches = life.account.batches.batches
    wait_until(lambda: all(batch.status is BatchStatus.FINISHED for batch in list(batches.values())))


def outlast(life: Life, *, marked: bool = True) -> None:
    """Let the lease end long ago; earlier releases did not mark it."""
    lease = orjson.loads(life.folder.read(LOCK))
    kept = {"run": lease["run"], "until": lease["until"] - 10 * WAITING_LEASE}
    life.folder.put(LOCK, orjson.dumps({**kept, "waiting": True} if marked else kept))


class TestAlive:
    """Batches that are under way."""

    @pytest.mark.parametrize("marked", [True, False], ids=["now", "an earlier release"])
    def test_it_is_left_alone_however_long_it_takes(
        self, life: Life, clock: Clock, waiting: RunFolder, *, marked: bool
    ) -> None:
        """As long as a batch moves, others are told how far it is, and at its end it accounts for itself."""
        outlast(life, marked=marked)
        for done in range(9):
            moving(life, waiting, done)
            assert (
                f"Run 'run1' of this export waits for Mailchimp: 0 of 1 batches finished, {done} of 9 operations."
                in busy(life)
            )
            clock.go_on(seconds=STALL)
        over(life)
        assert life.finalize(waiting).counts == Counts(rows_read=2, created=2)
        assert life.run({"A": people(ADA)}, max_removal_ratio=1).counts == Counts(
            rows_read=1, unchanged=1, removed=1
        )

    def test_one_of_several_is_enough(
        self, life: Life, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run is alive as long as any of its batches moves."""
        monkeypatch.setattr("airflow_mailchimp_export.delivery.batches.MAX_BATCH_PEOPLE", 1)
        life.account.settings.change({"batch_pending": 3600.0})
        crowd = people(*(f"p{number}@brieftaube.eu" for number in range(600)))
        _, folder = life.submit({"A": crowd}, delivery=Delivery.BATCH)
        first, second = (batch.id for batch in folder.batches)
        life.script[f"GET /batches/{first}"] = lambda request: finished(first)
        for done in range(3):
            told = finished(second, status="started", total_operations=9, finished_operations=done)
            life.script[f"GET /batches/{second}"] = lambda request, told=told: told
            assert "1 of 2 batches finished" in busy(life)
            clock.go_on(seconds=STALL)

    def test_mailchimp_is_out_of_reach(self, life: Life, waiting: RunFolder) -> None:
        """Where Mailchimp does not say it, that is the error, nothing is sent, and nothing is taken over."""
        outlast(life)
        (batch,) = waiting.batches
        life.script[f"GET /batches/{batch.id}"] = raising(RetryableError("answered 503"))
        before = life.folder.read(LOCK)
        with life.watched() as seen, pytest.raises(RetryableError, match="503"):
            life.run(SEGMENTS, name="other")
        assert changing(seen) == []
        assert life.folder.read(LOCK) == before
        assert not waiting.is_finished()
        assert not waiting.exists(WATCH)


class TestOver:
    """Batches that nobody need wait for."""

    def test_it_is_taken_over_at_once(self, life: Life, clock: Clock, waiting: RunFolder) -> None:
        """Where all is done, the next run accounts for it first, and a late report finds the report that is there."""
        over(life)
        report = life.run(SEGMENTS, delivery=Delivery.BATCH)
        assert report.counts == Counts(rows_read=2, unchanged=2)
        assert life.report("run1").counts == Counts(rows_read=2, created=2)
        ledger = life.ledger()
        with life.watched() as seen:
            assert life.finalize(waiting) == life.report("run1")
        assert seen == []
        assert life.ledger() == ledger

    def test_a_batch_that_was_cancelled(self, life: Life, waiting: RunFolder) -> None:
        """A batch that Mailchimp does not know any more is over, and its people are sent again."""
        (batch,) = waiting.batches
        life.sandbox.call("DELETE", f"/batches/{batch.id}")
        life.account.settings.change({"batch_gone": True})
        report = life.run(SEGMENTS)
        assert life.report("run1").counts == Counts(rows_read=2, unconfirmed=2)
        assert report.counts.created + report.counts.updated == 2

    def test_a_run_whose_folder_is_gone(self, life: Life, waiting: RunFolder) -> None:
        """A lock of a run that has no files any more keeps nobody out."""
        life.folder.remove_run(waiting)
        assert life.run(SEGMENTS).counts.created == 2

    def test_a_list_of_batches_that_cannot_be_read(self, life: Life, waiting: RunFolder) -> None:
        """A run of which nobody can say what it waits for is set aside, and keeps nobody out."""
        waiting.put(BATCHES, b"damaged")
        assert life.run(SEGMENTS).counts.created == 2
        assert waiting.exists(SET_ASIDE)


class TestStalled:
    """Batches of which none moves."""

    def test_it_is_taken_over_in_the_end(self, life: Life, clock: Clock, waiting: RunFolder) -> None:
        """Whoever finds them as another run has found them for stall_timeout calls them off, and sends the people."""
        busy(life)
        clock.go_on(seconds=STALL - 1)
        busy(life)
        clock.go_on(seconds=1)
        assert life.run(SEGMENTS).counts == Counts(rows_read=2, created=2)
        assert life.report("run1").counts == Counts(rows_read=2, unconfirmed=2)
        assert [request.method for request in life.requests if request.method == "DELETE"] == ["DELETE"]

    def test_a_first_look_never_takes_over(self, life: Life, clock: Clock, waiting: RunFolder) -> None:
        """Since when nothing has moved is not known to whoever looks first, days later too."""
        outlast(life)
        clock.go_on(days=3)
        assert "0 of 1 batches finished" in busy(life)

    def test_whoever_moves_has_all_the_time_again(self, life: Life, clock: Clock, waiting: RunFolder) -> None:
        """The time counts from the last move that was seen."""
        for done in (3, 4):
            moving(life, waiting, done)
            busy(life)
            clock.go_on(seconds=STALL - 1)
        busy(life)
        clock.go_on(seconds=1)
        assert life.run(SEGMENTS).counts == Counts(rows_read=2, created=2)

    def test_all_operations_are_done(self, life: Life, clock: Clock, waiting: RunFolder) -> None:
        """A batch that only has its results to pack is given up all the same, but not called off."""
        moving(life, waiting, 9, status="finalizing")
        busy(life)
        clock.go_on(seconds=STALL)
        assert life.run(SEGMENTS).counts == Counts(rows_read=2, created=2)
        assert not [request for request in life.requests if request.method == "DELETE"]

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b'{"moved_at": "x", "seen": {}}', b'{"format": 9}'], ids=repr
    )
    def test_what_was_seen_cannot_be_read(
        self, life: Life, clock: Clock, waiting: RunFolder, content: bytes
    ) -> None:
        """What cannot be read is as good as not written: whoever looks then looks first."""
        busy(life)
        waiting.put(WATCH, content)
        clock.go_on(days=1)
        busy(life)
        clock.go_on(seconds=STALL)
        assert life.run(SEGMENTS).counts == Counts(rows_read=2, created=2)

    def test_a_clock_that_was_ahead(self, life: Life, clock: Clock, waiting: RunFolder) -> None:
        """What was seen in the future was seen now."""
        clock.go_on(days=400)
        busy(life)
        clock.go_on(days=-400)
        busy(life)
        clock.go_on(seconds=STALL)
        assert life.run(SEGMENTS).counts == Counts(rows_read=2, created=2)


class TestTwoAccounts:
    """The run's own report, while another run has just taken its place."""

    def test_it_waits_for_the_other(self, life: Life, waiting: RunFolder) -> None:
        """Its report is the one that the other writes, and it does not account side by side with that."""
        over(life)
        late = RunFolder(Path(waiting.uri))
        with Lock(life.folder, "other", progress_of=lambda run: "").held():
            told: list[Report] = []

            def other() -> None:
                told.append(finalize(waiting, gateway=gateway(life), holds_lock=True))

            assert finalize(late, gateway=gateway(life, once(other))) == told[0]
        assert told[0].counts == Counts(rows_read=2, created=2)

    def test_it_does_not_wait_for_ever(self, life: Life, waiting: RunFolder) -> None:
        """Where the other keeps the lock and writes no report, it says so, and can be tried again."""
        over(life)
        pauses: list[float] = []
        with (
            Lock(life.folder, "other", progress_of=lambda run: "").held(),
            pytest.raises(ExportBusy, match="Run 'other'"),
        ):
            finalize(waiting, gateway=gateway(life, pauses.append))
        assert pauses == [LOCK_PAUSE] * (LOCK_ATTEMPTS - 1)
        Lock(life.folder, "other").release()
        assert life.finalize(waiting).counts.created == 2
        assert not life.folder.exists(LOCK)


def gateway(life: Life, sleep: Callable[[float], object] = lambda seconds: None) -> Gateway:
    """A door to the sandbox; sleeping is something else."""

    def pause(seconds: float) -> None:
        sleep(seconds)

    return Gateway(InProcessClient(life.sandbox), lambda: None, sleep=pause)


def once(step: Callable[[], object]) -> Callable[[float], None]:
    """Take a step in the first pause."""
    left = [step]

    def pause(seconds: float) -> None:
        if left:
            left.pop()()

    return pause
