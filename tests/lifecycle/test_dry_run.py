"""The full plan and report, and not one request that changes anything."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import RemovalLimitExceeded
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import PLAN, REJECTS, REPORT
from tests.kit.life import Life, changing
from tests.kit.people import people

ADA, BO, CY, DEE = (f"{name}@brieftaube.eu" for name in ("ada", "bo", "cy", "dee"))


def dry(life: Life, segments: Any, **how: Any) -> Report:
    """Run dry, which changes nothing: neither the audience nor the ledger."""
    before, had = life.audience(), life.folder.exists(LEDGER)
    ledger = life.folder.read(LEDGER) if had else b""
    with life.watched() as seen:
        report = life.run(segments, dry_run=True, **how)
    assert changing(seen) == []
    assert life.audience() == before
    assert life.folder.exists(LEDGER) is had
    assert not had or life.folder.read(LEDGER) == ledger
    assert not life.folder.exists(LOCK)
    assert report.dry_run
    return report


@pytest.mark.parametrize("delivery", Delivery)
def test_it_tells_what_would_be_done(life: Life, delivery: Delivery) -> None:
    """Who would be created, updated, removed, suppressed and rejected, with up to three masked examples each."""
    life.put(BO)
    life.put(CY, status="unsubscribed")
    life.run({"A": people(DEE, ADA)})
    crowd = [f"p{number}@brieftaube.eu" for number in range(5)]
    rows = people(ADA, BO, CY, *crowd, "wrong@", None)
    report = dry(life, {"A": rows, "B": people(ADA)}, delivery=delivery, max_removal_ratio=1)
    assert report.counts == Counts(
        rows_read=11, merged=1, rejected=2, suppressed=1, created=5, updated=2, removed=1
    )
    assert report.examples == {
        "created": ["p***@b***", "p***@b***", "p***@b***"],
        "rejected": ["w***@***"],
        "removed": ["d***@b***"],
        "suppressed": ["c***@b***"],
        "updated": ["a***@b***", "b***@b***"],
    }
    assert report.segments["B"].joined == 1
    assert report.verdict is Verdict.PARTIAL


def test_the_plan_is_written(life: Life) -> None:
    """The plan and the rejects of a dry run are there to be looked at, and so is the report."""
    report = dry(life, {"A": people(ADA, "wrong@")})
    with life.folder.reading(f"run1/{PLAN}") as path:
        rows = {row["email"]: (row["change"], row["effect"]) for row in pq.read_table(path).to_pylist()}
    assert rows == {ADA: ("upsert", None), "wrong@": (None, "rejected")}
    assert life.folder.exists(f"run1/{REJECTS}")
    assert Report.from_json(life.folder.read(f"run1/{REPORT}")) == report


def test_the_next_run_is_not_misled(life: Life) -> None:
    """After a dry run everything is still to be done."""
    segments = {"A": people(ADA, BO)}
    dry(life, segments)
    assert life.run(segments).counts == Counts(rows_read=2, created=2)
    assert dry(life, segments).counts == Counts(rows_read=2, unchanged=2)


def test_it_creates_no_merge_fields(life: Life) -> None:
    """Merge fields that would be created are not, and the plan is made anyway."""
    life.field_map = {"EMAIL": "email", "TIER": "tier"}
    report = dry(life, {"A": people(ADA, tier=["gold"])}, create_merge_fields=True)
    assert report.counts == Counts(rows_read=1, created=1)


def test_archiving_is_told_too(life: Life) -> None:
    """Who would be archived counts as removed."""
    life.run({"A": people(ADA, BO)})
    assert dry(life, {"A": people(ADA)}, on_leave=OnLeave.ARCHIVE, max_removal_ratio=1).counts.removed == 1


def test_it_is_stopped_as_a_run_would_be(life: Life) -> None:
    """A dry run by which too many would leave stops with the same error, and changes nothing."""
    life.run({"A": people(ADA, BO)})
    with life.watched() as seen, pytest.raises(RemovalLimitExceeded):
        life.run({"A": people(ADA)}, dry_run=True, removal_floor=0)
    assert changing(seen) == []


def test_it_does_not_finish_what_another_run_left(life: Life) -> None:
    """A dry run sends nothing of a run that died, either."""
    life.account.settings.change({"batch_operation_fault_rate": 1.0})
    submission, _ = life.submit({"A": people(ADA, BO)}, delivery=Delivery.BATCH)
    life.wait(submission.batch_ids)
    life.folder.remove(LOCK)
    dry(life, {"A": people(ADA)}, max_removal_ratio=1)
