"""Delivery by batches: handing over, going on after a failure, and settling."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import ConfigError, PermanentError, RetryableError
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.run import REPORT, ExportFolder
from tests.kit.client import in_turn, out_of_reach, raising, refusal
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.people import many

TWO_BATCHES = many(20_300)


@pytest.fixture
def life(life: Life) -> Life:
    """An export that is delivered by batches."""
    life.options = {"delivery": Delivery.BATCH}
    return life


class TestHandingOver:
    """From the plan to batches."""

    def test_batches_are_journaled_one_by_one(self, life: Life) -> None:
        """Each batch is told and stands in the journal with its chunks before the next one is submitted."""
        told: list[str] = []
        journal: list[int] = []

        def permit() -> None:
            journal.append(len(life.folder.run("run1").batches))

        submission, folder = life.submit({"S": TWO_BATCHES}, permit=permit, on_batch=told.append)
        assert submission.report is None
        assert submission.batch_ids == tuple(told)
        assert journal == [0, 0, 1]
        assert [(one.id, one.chunks[0], one.chunks[-1]) for one in folder.batches] == [
            (told[0], 0, 39),
            (told[1], 40, 40),
        ]
        life.wait(told)
        report = life.finalize(folder)
        assert report.counts == Counts(rows_read=20_300, created=20_300)
        assert (report.verdict, report.batch_ids, report.delivery) == (Verdict.SUCCESS, tuple(told), "batch")

    def test_batches_that_were_taken_are_not_submitted_again(self, life: Life) -> None:
        """Where a further batch gets no answer there is no report; the retry submits only what is missing."""
        life.script["POST /batches"] = in_turn(None, out_of_reach())
        first: list[str] = []
        with pytest.raises(RetryableError):
            life.submit({"S": TWO_BATCHES}, name="r", on_batch=first.append)
        assert not life.folder.exists(f"r/{REPORT}")
        assert not any(request.method == "DELETE" for request in life.requests)
        del life.script["POST /batches"]
        second: list[str] = []
        submission, folder = life.submit({"S": TWO_BATCHES}, name="r", on_batch=second.append)
        assert submission.batch_ids == tuple(second)
        assert (len(first), len(second)) == (1, 1)
        life.wait(submission.batch_ids)
        assert life.finalize(folder).counts == Counts(rows_read=20_300, unchanged=20_000, created=300)
        assert life.report("r").counts == Counts(rows_read=20_300, created=20_000, unconfirmed=300)

    def test_without_any_batch_the_run_is_over(self, life: Life) -> None:
        """Where not even the first batch got an answer, the report says so, and a retry is a new run."""
        life.script["POST /batches"] = raising(out_of_reach())
        with pytest.raises(RetryableError):
            life.submit({"S": many(3)}, name="r")
        report = life.report("r")
        assert (report.verdict, report.counts) == (Verdict.FAILED, Counts(rows_read=3, unconfirmed=3))
        del life.script["POST /batches"]
        assert life.run({"S": many(3)}, name="r").counts == Counts(rows_read=3, created=3)
        assert [run.name for run in life.folder.runs()] == ["r", "r-2"]

    def test_a_later_batch_is_refused(self, life: Life) -> None:
        """Where a later batch is refused, those that were taken are cancelled, and the report names them."""
        life.sandbox.change(batch_pending=3600.0)
        life.script["POST /batches"] = in_turn(None, PermanentError("too much", status=400))
        told: list[str] = []
        with pytest.raises(PermanentError, match="too much"):
            life.submit({"S": TWO_BATCHES}, on_batch=told.append)
        report = life.report("run1")
        assert (report.verdict, report.error, report.batch_ids) == (Verdict.FAILED, "too much", tuple(told))
        assert report.counts == Counts(rows_read=20_300, unconfirmed=20_300)
        assert len(life.sent(f"DELETE /batches/{told[0]}")) == 1
        assert life.audience() == {}


class TestSettling:
    """From the batches to the report."""

    def test_settling_twice(self, life: Life) -> None:
        """A run that is settled is not settled again: the same report, and no request."""
        submission, folder = life.submit({"S": many(3)})
        life.wait(submission.batch_ids)
        report = life.finalize(folder)
        with life.watched() as seen:
            assert life.finalize(folder) == report
        assert seen == []

    def test_an_operation_that_failed_is_delivered_directly(self, life: Life) -> None:
        """Chunks that a batch could not deliver go directly, only these, in the same run."""
        life.sandbox.change(batch_operation_fault_rate=0.5)
        report = life.run({"S": many(6000)})
        assert report.counts == Counts(rows_read=6000, created=6000)
        ended = life.account.meter.operations
        assert sum(count for (_, status), count in ended.items() if status == 200) + len(
            life.sent(f"POST {LIST}")
        ) == sum(ended.values())

    def test_a_batch_that_is_out_of_reach(self, life: Life) -> None:
        """Members of a batch that does not tell in the end are unconfirmed; those of the others count."""
        submission, folder = life.submit({"S": TWO_BATCHES})
        life.wait(submission.batch_ids)
        life.script[f"GET /batches/{submission.batch_ids[0]}"] = raising(out_of_reach())
        report = life.finalize(folder)
        assert report.counts == Counts(rows_read=20_300, created=300, unconfirmed=20_000)
        assert report.verdict is Verdict.PARTIAL

    def test_settling_that_fails_can_be_repeated(self, life: Life) -> None:
        """Where Mailchimp is out of reach when chunks go directly, no report is written; the next time is good."""
        life.max_connections = 1
        life.sandbox.change(batch_operation_fault_rate=1.0)
        submission, folder = life.submit({"S": many(5000)})
        life.wait(submission.batch_ids)
        life.script[f"POST {LIST}"] = raising(out_of_reach())
        with pytest.raises(RetryableError):
            life.finalize(folder)
        assert not folder.exists(REPORT)
        del life.script[f"POST {LIST}"]
        assert life.finalize(folder).counts == Counts(rows_read=5000, created=5000)

    def test_refused_directly_too(self, life: Life) -> None:
        """Where what a batch could not deliver is refused directly as well, the report says why."""
        life.run({"S": many(3)})
        life.sandbox.change(batch_operation_fault_rate=1.0)
        life.script[f"POST {LIST}"] = raising(refusal(404))
        report = life.run({"S": many(4)})
        assert (report.verdict, report.error) == (Verdict.FAILED, "answered 404")
        assert report.counts == Counts(rows_read=4, unchanged=3, unconfirmed=1)

    def test_who_could_not_leave_by_a_batch_leaves_directly(self, life: Life) -> None:
        """A failed operation by which people leave is repeated directly, when the run is settled."""
        life.run({"S": many(4)})
        life.sandbox.change(batch_operation_fault_rate=1.0)
        report = life.run({"S": many(3)})
        assert report.counts == Counts(rows_read=3, unchanged=3, removed=1)
        assert sum("S" in tags for _, tags in life.audience().values()) == 3

    def test_a_key_that_was_revoked(self, life: Life) -> None:
        """Where Mailchimp refuses to tell the answers, the report says so, and the next run sends all again."""
        submission, folder = life.submit({"S": many(3)})
        life.wait(submission.batch_ids)
        revoked = life.account.settings.key
        life.script[f"GET /batches/{submission.batch_ids[0]}"] = lambda request: life.sandbox.change(
            key="x-us0"
        )
        report = life.finalize(folder)
        assert report.verdict is Verdict.FAILED
        assert "a key or token that stopped working was revoked" in report.remedy
        assert report.counts == Counts(rows_read=3, unconfirmed=3)
        life.sandbox.change(key=revoked)
        assert life.run({"S": many(3)}).counts == Counts(rows_read=3, updated=3)

    def test_a_folder_without_a_run(self, life: Life) -> None:
        """Where there is no run, whoever settles is told where it was looked for and what may be wrong."""
        folder = life.folder.run("nowhere")
        with pytest.raises(ConfigError, match=r"no run to account for at .*exports_root") as error:
            life.finalize(folder)
        assert folder.uri in str(error.value)

    def test_a_run_on_another_storage(self, life: Life) -> None:
        """Plan, batches and report may lie on any storage."""
        from upath import UPath

        life.folder = ExportFolder(UPath("memory://batches/life"))
        assert life.run({"S": many(700)}).counts == Counts(rows_read=700, created=700)
