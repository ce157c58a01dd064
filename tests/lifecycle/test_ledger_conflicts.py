"""A ledger that is not the one a run was planned from is never overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import ExportFolder, RunFolder
from tests.kit.life import Life
from tests.kit.people import many


@pytest.fixture
def planned(life: Life) -> RunFolder:
    """A run that has sent one person more than the ledger knows, and is not settled."""
    life.run({"S": many(3)})
    submission, folder = life.submit({"S": many(4)}, delivery=Delivery.BATCH)
    life.wait(submission.batch_ids)
    return folder


def test_a_newer_one(life: Life, planned: RunFolder, tmp_path: Path) -> None:
    """The ledger that another run has written meanwhile stays, and the report names that run."""
    elsewhere = replace(life, folder=ExportFolder(tmp_path / "elsewhere" / "life"))
    elsewhere.folder.put(LEDGER, life.folder.read(LEDGER))
    elsewhere.run({"S": many(9)}, name="other")
    newer = elsewhere.folder.read(LEDGER)
    life.folder.remove(LEDGER)
    life.folder.put(LEDGER, newer)
    report = life.finalize(planned)
    assert report.error.startswith("Run other has written the ledger since this run was planned")
    assert (report.verdict, report.counts) == (Verdict.FAILED, Counts(rows_read=4, unchanged=3, created=1))
    assert life.folder.read(LEDGER) == newer


def test_a_damaged_one(life: Life, planned: RunFolder) -> None:
    """A ledger that was damaged meanwhile stays as it is, for a look at it."""
    life.folder.remove(LEDGER)
    life.folder.put(LEDGER, b"no ledger")
    report = life.finalize(planned)
    assert "is damaged" in report.error
    assert (report.verdict, report.counts) == (Verdict.FAILED, Counts(rows_read=4, unchanged=3, created=1))
    assert life.folder.read(LEDGER) == b"no ledger"


def test_one_that_is_gone(life: Life, planned: RunFolder) -> None:
    """Where the ledger was taken away meanwhile, a run does not begin another one."""
    life.folder.remove(LEDGER)
    report = life.finalize(planned)
    assert report.error.startswith("Run unknown has written the ledger")
    assert (report.verdict, report.counts) == (Verdict.FAILED, Counts(rows_read=4, unchanged=3, created=1))
    assert not life.folder.exists(LEDGER)
