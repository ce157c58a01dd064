"""Runs that are stopped before anything is sent: what their counts say, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.counts import Counts
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
    RemovalLimitExceeded,
    RetryableError,
    TooManyRejects,
    UnreadableFile,
)
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import PLAN
from tests.kit.client import Consent
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.people import many, people

ADA, BO, CY = "ada@mail.eu", "bo@mail.eu", "cy@mail.eu"


def refused(life: Life, segments: Any, error: type[ExportError], **how: Any) -> Counts:
    """Run an export that is stopped before anything is sent; return what it counts."""
    with pytest.raises(error) as caught:
        life.submit(segments, **how)
    assert caught.value.nothing_sent
    report = life.report(f"run{life.runs}")
    assert (report.verdict, report.nothing_sent) == (Verdict.FAILED, True)
    assert report.counts.adds_up
    return report.counts


def test_too_many_would_leave(life: Life) -> None:
    """Of a run that would remove too many nobody is unconfirmed, and nobody failed to be removed."""
    life.run({"A": many(100), "B": people(ADA)})
    counts = refused(life, {"A": many(10), "B": people(ADA, BO)}, RemovalLimitExceeded)
    assert counts == Counts(rows_read=12, not_sent=12)
    rows = {name: segment.rows for name, segment in life.report("run2").segments.items()}
    assert rows == {"A": 10, "B": 2}


@pytest.mark.parametrize("delivery", Delivery)
def test_too_many_rejects(life: Life, delivery: Delivery) -> None:
    """Rejects count as such, the others as not sent, and who would have left is no failed removal."""
    life.run({"A": people(ADA, BO)}, delivery=delivery)
    before = life.audience()
    counts = refused(life, {"A": people(CY, "no", "nor")}, TooManyRejects, delivery=delivery)
    assert counts == Counts(rows_read=3, rejected=2, not_sent=1)
    assert life.audience() == before


@pytest.mark.parametrize("delivery", Delivery)
def test_consent_is_withdrawn_before_the_first_chunk(life: Life, delivery: Delivery) -> None:
    """Withdrawn between planning and sending, nothing has left, and so nobody is unconfirmed."""
    consent = Consent(ConfigError("data_privacy_consent is off"), permits=1)
    counts = refused(life, {"A": people(ADA, BO)}, ConfigError, delivery=delivery, permit=consent)
    assert counts == Counts(rows_read=2, not_sent=2)
    assert life.carriers() == []


def test_mailchimp_is_out_of_reach_while_planning(life: Life) -> None:
    """Where not even the audience can be read, nothing was read and nothing was sent."""
    life.script[f"GET {LIST}"] = lambda request: _raise(RetryableError("away"))
    assert refused(life, {"A": people(ADA)}, RetryableError) == Counts()


def test_the_ledger_knows_nothing_of_whom_was_not_sent(life: Life) -> None:
    """Who was not sent is in the ledger as before, or not at all; the next run sends them as it would have."""
    life.run({"A": people(ADA, BO)})
    before = life.ledger()
    refused(life, {"A": people(ADA, CY, "no", "nor", "neither")}, TooManyRejects, max_removal_ratio=1)
    assert life.ledger() == before
    report = life.run({"A": people(ADA, CY)}, max_removal_ratio=1)
    assert report.counts == Counts(rows_read=2, unchanged=1, created=1, removed=1)


def test_a_first_run_that_is_refused_leaves_no_member(life: Life) -> None:
    """Nobody of it is remembered as a member, or as somebody who may have been sent."""
    refused(life, {"A": people(ADA, "no", "nor")}, TooManyRejects)
    assert not life.folder.exists(LEDGER) or life.ledger() == {}


def test_what_was_sent_is_never_called_not_sent(life: Life, tmp_path: Path) -> None:
    """A run that goes on with what an earlier try handed over has sent, whatever stops it then."""
    place = tmp_path / "a.csv"
    place.write_text(f"email\n{ADA}\n", encoding="utf-8")
    _, folder = life.submit({"A": str(place)}, name="one", delivery=Delivery.BATCH)
    folder.put(PLAN, b"damaged")
    with pytest.raises(UnreadableFile) as caught:
        life.submit({"A": str(place)}, name="one", delivery=Delivery.BATCH)
    assert not caught.value.nothing_sent


def _raise(error: Exception) -> None:
    raise error
