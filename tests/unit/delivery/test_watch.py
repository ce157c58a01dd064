"""Waiting for batches."""

from __future__ import annotations

import json

import pytest

from airflow_mailchimp_export.delivery.watch import BatchWatch, keep_looking, poll_once
from airflow_mailchimp_export.errors import AccessDenied
from airflow_mailchimp_export.model import Batch
from tests.kit.archives import finished
from tests.kit.client import FakeClient, in_turn, out_of_reach, raising, refusal


@pytest.fixture
def watch() -> BatchWatch:
    """A watch over two batches, begun at 100 seconds, that gives up after 60."""
    return BatchWatch(["a", "b"], stall_timeout=60, now=100)


def started(batch_id: str, done: int = 0, **more: str) -> Batch:
    """A batch at work."""
    return Batch(batch_id, "started", total_operations=10, finished_operations=done, **more)


class TestWaiting:
    """Whom to ask."""

    def test_all_are_waited_for(self, watch: BatchWatch) -> None:
        """Until something is known, all batches are waited for, in order."""
        assert watch.waiting == ("a", "b")

    def test_finished_ones_are_not(self, watch: BatchWatch) -> None:
        """A finished batch is not asked for again; one at work is."""
        watch.note(Batch("a", "finished"), now=101)
        watch.note(started("b", done=10), now=101)
        assert watch.waiting == ("b",)
        watch.note(Batch("b", "finished"), now=102)
        assert watch.waiting == ()

    def test_gone_ones_are_not(self, watch: BatchWatch) -> None:
        """A batch that Mailchimp does not know is not waited for, whatever was known of it."""
        watch.note(started("b"), now=101)
        watch.note_gone("b")
        watch.note_gone("a")
        assert watch.waiting == ()

    def test_stopped_ones_are_told_apart(self, watch: BatchWatch) -> None:
        """A batch in a status that nobody knows, or gone, is over, but not taken for finished."""
        watch.note(Batch("a", "canceled"), now=101)
        assert watch.waiting == ("b",)
        watch.note(started("b"), now=102)
        assert watch.stopped == {"a": "canceled"}
        watch.note_gone("b")
        assert watch.waiting == ()
        assert watch.stopped == {"a": "canceled", "b": "gone"}

    @pytest.mark.parametrize("status", ["pending", "preprocessing", "started", "finalizing"])
    def test_batches_under_way_are_not_stopped(self, status: str, watch: BatchWatch) -> None:
        """Each of Mailchimp's statuses before finished means that there is something to wait for."""
        watch.note(Batch("a", status), now=101)
        assert watch.waiting == ("a", "b")
        assert watch.stopped == {}

    def test_without_batches(self) -> None:
        """Where there is no batch there is nothing to wait for."""
        watch = BatchWatch([], stall_timeout=60, now=0)
        assert watch.waiting == ()
        assert watch.progress() == "0 of 0 batches finished, 0 of 0 operations"


class TestPauses:
    """How long to pause."""

    def test_they_grow_to_a_minute(self, watch: BatchWatch) -> None:
        """Pauses are doubled from five seconds to a minute."""
        assert [watch.pause() for _ in range(7)] == [5, 10, 20, 40, 60, 60, 60]

    def test_progress_makes_them_short_again(self, watch: BatchWatch) -> None:
        """Any progress of any batch begins with five seconds again; none does not."""
        watch.note(started("a"), now=101)
        assert [watch.pause(), watch.pause()] == [5, 10]
        watch.note(started("a"), now=102)
        assert watch.pause() == 20
        watch.note(started("b", done=1), now=103)
        assert [watch.pause(), watch.pause()] == [5, 10]


class TestStalling:
    """When to give up."""

    def test_without_any_news(self, watch: BatchWatch) -> None:
        """Waiting is given up once nothing was heard for so long."""
        assert not watch.stalled(now=159.9)
        assert watch.stalled(now=160)

    @pytest.mark.parametrize(
        "news",
        [
            Batch("a", "finalizing", 10, 3),
            Batch("a", "started", 10, 4),
            Batch("a", "started", 11, 3),
            Batch("a", "started", 10, 3, errored_operations=1),
            Batch("b", "pending"),
        ],
    )
    def test_progress_starts_it_anew(self, watch: BatchWatch, news: Batch) -> None:
        """A new status, further operations, or another batch's first sign: from then on it counts again."""
        watch.note(started("a", done=3), now=110)
        watch.note(news, now=150)
        assert not watch.stalled(now=209)
        assert watch.stalled(now=210)

    def test_the_same_again_is_no_progress(self, watch: BatchWatch) -> None:
        """A batch that stays where it is stalls, even though each answer carries another link."""
        for now in range(100, 200, 10):
            watch.note(started("a", done=10, response_body_url=f"https://storage.invalid/{now}"), now=now)
        assert not watch.stalled(now=159)
        assert watch.stalled(now=160)

    def test_counters_that_go_up_and_down_are_no_progress(self, watch: BatchWatch) -> None:
        """A batch whose numbers and statuses keep changing without ever getting further stalls."""
        for now in range(110, 200, 10):
            watch.note(started("a", done=now % 20), now=now)
            watch.note(Batch("a", "pending"), now=now + 1)
        assert watch.stalled(now=180)

    def test_no_wait_is_without_an_end(self, watch: BatchWatch) -> None:
        """A batch that gets further all the time is not waited for longer than Mailchimp keeps results."""
        week = 7 * 86_400
        for day in range(8):
            watch.note(started("a", done=day + 1), now=100 + day * 86_400 - 1)
        assert not watch.stalled(now=100 + week - 1)
        assert watch.stalled(now=100 + week)
        another = BatchWatch(
            ["a", "b"], stall_timeout=60, now=0, record=json.loads(json.dumps(watch.record()))
        )
        assert another.stalled(now=100 + week)


class TestRecords:
    """Waiting on in another process."""

    def test_another_watch_counts_on(self, watch: BatchWatch) -> None:
        """What was seen is no news to it, and it gives up when the first one would have."""
        watch.note(started("a", done=3), now=110)
        record = json.loads(json.dumps(watch.record()))
        another = BatchWatch(["a", "b"], stall_timeout=60, now=150, record=record)
        another.note(started("a", done=3), now=151)
        assert not another.stalled(now=169)
        assert another.stalled(now=170)

    def test_the_record_of_an_earlier_release(self) -> None:
        """A record without how far the batches ever were counts on from where they were last seen."""
        record = {"moved_at": 110, "seen": {"a": ["started", 10, 3, 0]}}
        watch = BatchWatch(["a", "b"], stall_timeout=60, now=150, record=record)
        watch.note(started("a", done=3), now=151)
        assert watch.stalled(now=170)
        watch.note(started("a", done=4), now=171)
        assert not watch.stalled(now=230)

    def test_what_moved_meanwhile_is_news(self, watch: BatchWatch) -> None:
        """Progress between the two counts from when it is seen."""
        watch.note(started("a", done=3), now=110)
        another = BatchWatch(["a", "b"], stall_timeout=60, now=150, record=watch.record())
        another.note(started("a", done=4), now=151)
        assert not another.stalled(now=210)
        assert another.record()["moved_at"] == 151


def test_progress_is_told(watch: BatchWatch) -> None:
    """The words for the log count batches and operations; a batch that is gone counts as over."""
    assert watch.progress() == "0 of 2 batches finished, 0 of 0 operations"
    watch.note(started("a", done=4), now=101)
    assert watch.progress() == "0 of 2 batches finished, 4 of 10 operations"
    watch.note(Batch("a", "finished", 10, 10), now=102)
    watch.note_gone("b")
    assert watch.progress() == "2 of 2 batches finished, 10 of 10 operations"


class TestPolling:
    """Asking Mailchimp."""

    def test_each_batch_is_asked_for_until_it_is_over(self, watch: BatchWatch) -> None:
        """Each look asks once for each batch that is not over, and says whether any is left."""
        client = FakeClient(
            {
                "GET /batches/a": lambda _: finished("a"),
                "GET /batches/b": in_turn({"id": "b", "status": "started"}, refusal(404)),
            }
        )
        assert poll_once(client, watch, clock=lambda: 101) is True
        assert poll_once(client, watch, clock=lambda: 102) is False
        assert [request.path for request in client.requests] == ["/batches/a", "/batches/b", "/batches/b"]

    def test_news_are_noted_with_their_time(self, watch: BatchWatch) -> None:
        """What is new counts from the moment of the look on."""
        client = FakeClient(
            {f"GET /batches/{name}": lambda _, name=name: {"id": name, "status": "started"} for name in "ab"}
        )
        poll_once(client, watch, clock=lambda: 150)
        assert not watch.stalled(now=209)
        assert watch.stalled(now=210)

    def test_an_outage_is_no_news(self, watch: BatchWatch, caplog: pytest.LogCaptureFixture) -> None:
        """Who keeps looking waits on while Mailchimp is out of reach, and the log says so."""
        client = FakeClient({"GET /batches/a": raising(out_of_reach())})
        assert keep_looking(client, watch, clock=lambda: 101) is True
        assert "is asked again" in caplog.text
        assert watch.stalled(now=160)

    @pytest.mark.parametrize("error", [refusal(400), AccessDenied("revoked", status=401), out_of_reach()])
    def test_what_keeps_from_looking_is_raised(self, watch: BatchWatch, error: Exception) -> None:
        """Only a batch that is gone is over; any other error is the caller's."""
        with pytest.raises(type(error)):
            poll_once(FakeClient({"GET /batches/a": raising(error)}), watch, clock=lambda: 101)
        assert watch.waiting == ("a", "b")
