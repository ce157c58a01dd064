"""Consent that is withdrawn while an export runs, against the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.run import REPORT
from tests.kit.life import Life, changing, one_by_one
from tests.kit.people import people

ADA, BO, CY = "ada@mail.eu", "bo@mail.eu", "cy@mail.eu"
PRESENT = people(ADA, BO, id=["1", "2"])
CHANGES: Mapping[str, tuple[Any, OnLeave]] = {
    "upsert": (people(ADA, BO, CY, id=["1", "2", "3"]), OnLeave.UNTAG),
    "untag": (people(ADA, id=["1"]), OnLeave.UNTAG),
    "archive": (people(ADA, id=["1"]), OnLeave.ARCHIVE),
    "rename": (people(CY, BO, id=["1", "2"]), OnLeave.UNTAG),
}


def withdraw() -> None:
    """Say that consent is off."""
    raise ConfigError("data_privacy_consent is off")


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("change", CHANGES)
def test_nobody_is_changed_any_more(life: Life, change: str, delivery: Delivery) -> None:
    """Withdrawn after planning, consent stops whatever would be next before its request, and the report says so."""
    segment, on_leave = CHANGES[change]
    life.options = {"profile_id": "id", "max_removal_ratio": 1.0}
    life.run({"A": PRESENT}, delivery=delivery, on_leave=on_leave)
    before = life.audience()
    with life.watched() as seen, pytest.raises(ConfigError, match="is off"):
        life.submit(
            {"A": segment},
            delivery=delivery,
            on_leave=on_leave,
            permit=one_by_one(None, withdraw),
            name="off",
        )
    assert changing(seen) == []
    assert life.audience() == before
    report = Report.from_json(life.folder.read(f"off/{REPORT}"))
    assert (report.verdict, report.error) == (Verdict.FAILED, "data_privacy_consent is off")


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("change", CHANGES)
def test_with_consent_they_are_changed(life: Life, change: str, delivery: Delivery) -> None:
    """The same runs with consent change the audience: it is consent that stopped them."""
    segment, on_leave = CHANGES[change]
    life.options = {"profile_id": "id", "max_removal_ratio": 1.0}
    life.run({"A": PRESENT}, delivery=delivery, on_leave=on_leave)
    before = life.audience()
    life.run({"A": segment}, delivery=delivery, on_leave=on_leave)
    assert life.audience() != before
