"""How far a delivery is, as the log tells it."""

from __future__ import annotations

import logging

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import Delivery
from tests.kit.client import Consent
from tests.kit.life import Life
from tests.kit.people import many, people


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_mailchimp_export")


def lines(caplog: pytest.LogCaptureFixture, *begins: str) -> list[str]:
    """Return what the log said of some work, without the time that it took."""
    return [line.partition(" in ")[0] for line in caplog.messages if line.startswith(begins)]


@pytest.mark.parametrize("delivery", Delivery)
def test_who_leaves_counts_in_the_whole(
    life: Life, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    """Of one who is sent and nine who lose a tag, the end is ten of ten, not nine of one."""
    life.run({"A": many(20)}, delivery=delivery)
    caplog.clear()
    life.run({"A": many(12, start=9)}, delivery=delivery, max_removal_ratio=1)
    verb = {Delivery.BATCH: "Handing over", Delivery.DIRECT: "Sending"}[delivery]
    assert lines(caplog, verb) == [f"{verb}: 10 of 10 members"]


def test_changed_addresses_are_counted_before(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """One is renamed, and then sent under the new address and without the tag under the old one: two of two."""
    life.options = {"profile_id": "id"}
    life.run({"A": people("ada@mail.eu", id=["1"])})
    caplog.clear()
    life.run({"A": people("new@mail.eu", id=["1"])})
    assert lines(caplog, "Sending", "Renaming") == ["Renaming: 1 of 1 members", "Sending: 2 of 2 members"]


def test_a_run_without_anybody_to_send_says_nothing_of_sending(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    """Where everybody is unchanged, neither planning nor sending has a line."""
    life.run({"A": people("ada@mail.eu")})
    caplog.clear()
    life.run({"A": people("ada@mail.eu")})
    assert lines(caplog, "Planning", "Sending", "Handing over") == []


def test_what_stops_half_way_says_how_far_it_got(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """The last line is of those who were answered, of all who were to be sent."""
    life.max_connections = 1
    consent = Consent(ConfigError("data_privacy_consent is off"), permits=2)
    with pytest.raises(ConfigError, match="is off"):
        life.submit({"A": many(1200)}, delivery=Delivery.DIRECT, permit=consent)
    assert lines(caplog, "Sending") == ["Sending: 500 of 1,200 members"]
