"""Batches that misbehave end in outcomes, or in ``unconfirmed``, which the next run sends again."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.sandbox.batch_state import BatchStatus
from tests.kit.life import Life
from tests.kit.people import people
from tests.kit.waiting import wait_until

CROWD = [f"p{number:04}@brieftaube.eu" for number in range(700)]
ADA = "ada@brieftaube.eu"

SILENT: dict[str, dict[str, Any]] = {
    "stuck": {"batch_stuck": -1},
    "pending for ever": {"batch_pending": 3600.0},
    "finished without a link": {"batch_without_link": -1},
    "gone": {"batch_gone": True},
    "a link that is never good": {"batch_download_failures": -1},
    "a corrupt archive": {"archive_fault": "corrupt"},
    "a truncated archive": {"archive_fault": "truncated"},
}
IN_THE_END: dict[str, dict[str, Any]] = {
    "a link that comes late": {"batch_without_link": 2},
    "a link that is refused at first": {"batch_download_failures": 2},
    "an archive that is corrupt at first": {"archive_fault": "corrupt", "archive_fault_count": 2},
    "an archive that is cut short at first": {"archive_fault": "truncated", "archive_fault_count": 2},
    "operations that fail": {"batch_operation_fault_rate": 1.0},
    "a file without results": {"archive_empty_file": True},
}


def settled(life: Life, segments: dict[str, Any], **how: Any) -> Report:
    """Hand over batches and account for them, as after a sensor that gave up on those that do not end."""
    submission, folder = life.submit(segments, delivery=Delivery.BATCH, **how)
    assert submission.batch_ids
    if not life.account.settings.batch_stuck and not life.account.settings.batch_pending:
        finished(life)
    return life.finalize(folder)


def finished(life: Life) -> None:
    """Wait until the sandbox has ended all batches."""
    batches = life.account.batches.batches
    wait_until(lambda: all(batch.status is BatchStatus.FINISHED for batch in list(batches.values())))


def recover(life: Life, changes: dict[str, Any]) -> None:
    """Let the sandbox behave again."""
    usual = {"batch_pending": 0.0, "archive_fault": "none", "batch_gone": False}
    life.account.settings.change(
        {**dict.fromkeys(changes, 0), **{k: v for k, v in usual.items() if k in changes}}
    )
    if "archive_fault_count" in changes:
        life.account.settings.change({"archive_fault_count": -1})


@pytest.mark.parametrize("changes", SILENT.values(), ids=SILENT.keys())
def test_no_answer_is_unconfirmed_and_sent_again(life: Life, changes: dict[str, Any]) -> None:
    """Whatever keeps a batch's answers back, all its people are unconfirmed, and the next run sends them again."""
    life.run({"A": people(ADA)})
    life.account.settings.change(changes)
    report = settled(life, {"A": people(ADA, *CROWD)})
    assert report.counts == Counts(rows_read=701, unchanged=1, unconfirmed=700)
    assert report.verdict is Verdict.FAILED
    recover(life, changes)
    again = life.run({"A": people(ADA, *CROWD)}, delivery=Delivery.BATCH)
    assert (again.counts.unchanged, again.counts.unconfirmed, again.verdict) == (1, 0, Verdict.SUCCESS)
    assert again.counts.created + again.counts.updated == 700
    assert all(tags == {"A"} for _, tags in life.audience().values())


@pytest.mark.parametrize(
    ("kind", "on_leave"),
    [*((kind, OnLeave.UNTAG) for kind in SILENT), ("gone", OnLeave.ARCHIVE), ("stuck", OnLeave.ARCHIVE)],
)
def test_leaving_without_an_answer_is_tried_again(life: Life, kind: str, on_leave: OnLeave) -> None:
    """So it is with people who leave: they failed to be removed, and the next run tries again."""
    changes = SILENT[kind]
    life.run({"A": people(ADA, *CROWD[:3])})
    life.account.settings.change(changes)
    report = settled(life, {"A": people(ADA)}, on_leave=on_leave, max_removal_ratio=1)
    assert report.counts == Counts(rows_read=1, unchanged=1, removal_failed=3)
    assert report.verdict is Verdict.PARTIAL
    recover(life, changes)
    again = life.run({"A": people(ADA)}, on_leave=on_leave, max_removal_ratio=1, delivery=Delivery.BATCH)
    assert again.counts.removal_failed == 0
    audience = life.audience()
    for email in CROWD[:3]:
        assert (
            audience[email][0] == "archived" if on_leave is OnLeave.ARCHIVE else audience[email][1] == set()
        )


@pytest.mark.parametrize("changes", IN_THE_END.values(), ids=IN_THE_END.keys())
def test_passing_trouble_is_waited_out(life: Life, changes: dict[str, Any]) -> None:
    """What goes wrong a few times, or for single operations, still ends with an answer for everybody."""
    life.account.settings.change(changes)
    report = life.run({"A": people(*CROWD)}, delivery=Delivery.BATCH)
    assert report.counts.created + report.counts.updated == 700
    assert report.verdict is Verdict.SUCCESS


def test_an_incomplete_archive(life: Life) -> None:
    """Whose operation is missing from the archive is unconfirmed; the others have their answers."""
    life.account.settings.change({"archive_fault": "incomplete"})
    report = life.run({"A": people(*CROWD)}, delivery=Delivery.BATCH)
    counts = report.counts
    assert counts.adds_up
    assert 0 < counts.unconfirmed < 700
    assert report.verdict is Verdict.PARTIAL
    life.account.settings.change({"archive_fault": "none"})
    again = life.run({"A": people(*CROWD)}, delivery=Delivery.BATCH).counts
    assert (again.unchanged, again.created + again.updated) == (counts.created, counts.unconfirmed)


def test_a_batch_that_only_lacks_its_results_is_left_alone(life: Life) -> None:
    """A batch whose operations are all done is not called off, and its people are sent again."""
    life.account.settings.change({"batch_stuck": -1})
    submission, folder = life.submit({"A": people(ADA, *CROWD)}, delivery=Delivery.BATCH)
    (batch,) = life.account.batches.batches.values()
    wait_until(lambda: batch.status is BatchStatus.FINALIZING)
    assert life.finalize(folder).counts == Counts(rows_read=701, unconfirmed=701)
    assert not [request for request in life.requests if request.method == "DELETE"]
    assert life.account.batches.batches.keys() == set(submission.batch_ids)
    assert life.run({"A": people(ADA, *CROWD)}, delivery=Delivery.DIRECT).counts.updated == 701


def test_a_batch_that_was_given_up_does_no_harm_later(life: Life) -> None:
    """A batch that is given up is called off, so that it cannot give a tag after the person has left."""
    life.run({"A": people(ADA)})
    life.account.settings.change({"batch_pending": 3600.0})
    settled(life, {"A": people(ADA, *CROWD)})
    life.run({"A": people(ADA)}, max_removal_ratio=1)
    life.account.settings.change({"batch_pending": 0.0})
    finished(life)
    assert {email for email, (_, tags) in life.audience().items() if tags} == {ADA}
