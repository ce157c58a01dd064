"""What stops a run before the first profile leaves: limits, the contract, rejects, and consent."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import ConfigError, SourceError, TooManyRejects
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.run import REJECTS
from tests.kit.client import Consent
from tests.kit.exports import LIST
from tests.kit.life import Life, changing
from tests.kit.people import many, people


def read(life: Life, status: str) -> bool:
    """Whether the members of a status were read, and not only counted."""
    queries = [dict(request.query) for request in life.sent(f"GET {LIST}/members")]
    return any(query["status"] == status and query["count"] != "1" for query in queries)


@pytest.mark.parametrize("delivery", Delivery)
def test_too_many_profiles(life: Life, delivery: Delivery) -> None:
    """More rows over all segments than max_profiles, and nothing is sent; exactly as many pass."""
    segments = {"A": many(6), "B": many(5, start=6)}
    with pytest.raises(ConfigError, match=r"hold 11 profiles, but max_profiles is 10\. Nothing was sent"):
        life.run(segments, delivery=delivery, max_profiles=10)
    assert life.carriers() == []
    assert life.run(segments, max_profiles=11).counts == Counts(rows_read=11, created=11)


def test_the_contract_is_counted_roughly_first(life: Life) -> None:
    """Where it is within the contract even if all are new, subscribed members are only counted."""
    life.put("old@mail.eu")
    report = life.run({"S": people("old@mail.eu", "new@mail.eu")}, contact_limit=3)
    assert report.counts == Counts(rows_read=2, created=1, updated=1)
    assert not read(life, "subscribed")


def test_the_contract_is_counted_exactly_where_needed(life: Life) -> None:
    """Where it would be too much, subscribed members are read, and do not count again."""
    life.put("old@mail.eu")
    life.put("gone@mail.eu", status="unsubscribed")
    life.put("x@mail.eu", status="cleaned")
    report = life.run({"S": people("old@mail.eu", "gone@mail.eu", "new@mail.eu")}, contact_limit=3)
    assert read(life, "subscribed")
    assert report.counts == Counts(rows_read=3, suppressed=1, created=1, updated=1)


def test_past_the_contract(life: Life) -> None:
    """More than the contract allows is an error that says how many, and nothing is sent."""
    life.put("old@mail.eu")
    with pytest.raises(ConfigError, match=r"holds 1 contacts and 2 would be new.* contact_limit of 2\."):
        life.run({"S": people("old@mail.eu", "a@mail.eu", "b@mail.eu")}, contact_limit=2)
    assert life.carriers() == []
    assert life.audience() == {"old@mail.eu": ("subscribed", set())}


@pytest.mark.parametrize(
    ("field_map", "rows"),
    [
        ({"EMAIL": "email"}, people("a@mail.eu", "wrong", None)),
        (
            {"EMAIL": "email", "FNAME": "name"},
            people("a@mail.eu", "b@mail.eu", "wrong", name=["Ada", None, "Cyd"]),
        ),
    ],
    ids=["addresses", "fields and addresses"],
)
def test_too_many_rejects(life: Life, field_map: dict[str, Any], rows: Any) -> None:
    """Where most profiles cannot be sent nothing is, and rejects.csv lists them, as the message says."""
    life.sandbox.call("PATCH", f"{LIST}/merge-fields/1", {"required": True})
    how = {"field_map": field_map, "skip_merge_validation": "FNAME" not in field_map}
    with pytest.raises(TooManyRejects, match="2 of 3 profiles cannot be sent"):
        life.run({"S": rows}, **how)
    assert life.carriers() == []
    rejects = life.folder.read(f"run1/{REJECTS}").decode("utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(rejects)))) == 2
    report = life.report("run1")
    assert report.verdict is Verdict.FAILED
    assert report.counts == Counts(rows_read=3, rejected=2, not_sent=1)


def test_without_consent(life: Life) -> None:
    """Without consent Mailchimp is not even asked about the audience."""
    permit = Consent(ConfigError("data_privacy_consent is off"), permits=0)
    with life.watched() as seen, pytest.raises(ConfigError, match="consent"):
        life.run({"S": people("ada@mail.eu")}, permit=permit)
    assert seen == []


def test_a_profile_id_that_the_source_lacks(life: Life) -> None:
    """A profile_id that names no column is an error that lists the columns, before anything is sent."""
    with (
        life.watched() as seen,
        pytest.raises(SourceError, match="no column 'id'; there are 'email'"),
    ):
        life.run({"S": many(3)}, profile_id="id")
    assert changing(seen) == []
