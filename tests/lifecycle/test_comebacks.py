"""Who was refused for good and comes back through the signup form is sent again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.state.ledger import LEDGER, METADATA_KEY, read_mark
from tests.kit.exports import LIST
from tests.kit.life import Life, changing
from tests.kit.people import people

ADA, BO, CY = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu"
LONG_AGO = "2020-03-01T12:00:00+00:00"


def sign_up(life: Life, email: str) -> None:
    """Fill in the signup form."""
    life.sandbox.control("signup", {"email": email})


def lookups(life: Life) -> list[dict[str, str]]:
    """The questions so far who is subscribed and changed since a moment."""
    queries = [dict(request.query) for request in life.sent(f"GET {LIST}/members")]
    return [query for query in queries if query["status"] == "subscribed" and "since_last_changed" in query]


@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize(
    ("state", "reason"),
    [({"forgotten": True}, "forgotten"), ({"status": "subscribed", "compliance": True}, "compliance")],
    ids=["forgotten", "compliance"],
)
def test_who_comes_back_is_sent_again(
    life: Life, delivery: Delivery, state: dict[str, Any], reason: str
) -> None:
    """Suppressed run after run without being sent, until they subscribe by themselves: then they are tagged."""
    life.change(BO, **{"last_changed": LONG_AGO, **state})
    segments = {"A": people(ADA, BO)}
    assert life.run(segments, delivery=delivery).suppressed_by_reason == {reason: 1}
    with life.watched() as seen:
        assert life.run(segments, delivery=delivery).suppressed_by_reason == {reason: 1}
    assert changing(seen) == []
    sign_up(life, BO)
    report = life.run(segments, delivery=delivery)
    assert report.counts == Counts(rows_read=2, unchanged=1, updated=1)
    assert life.audience()[BO] == ("subscribed", {"A"})
    assert (life.ledger()[BO]["state"], life.ledger()[BO]["created"]) == ("member", False)
    assert life.run(segments, delivery=delivery).counts == Counts(rows_read=2, unchanged=2)


def test_who_comes_back_while_in_no_segment(life: Life) -> None:
    """That somebody came back is not forgotten until they are in a segment again."""
    life.change(BO, forgotten=True)
    life.run({"A": people(ADA, BO)})
    life.run({"A": people(ADA)})
    sign_up(life, BO)
    assert life.run({"A": people(ADA)}).counts == Counts(rows_read=1, unchanged=1)
    assert (life.ledger()[BO]["state"], life.ledger()[BO]["reason"]) == ("suppressed", "")
    life.change(BO, last_changed=LONG_AGO)
    assert life.run({"A": people(ADA, BO)}).counts == Counts(rows_read=2, unchanged=1, updated=1)
    assert life.tags(BO) == {"A"}


def test_it_is_looked_up_by_what_changed_since(life: Life) -> None:
    """Asked is who changed since the last run looked, less what clocks may differ; and only if there is reason to."""
    now = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    life.now = lambda: now
    life.run({"A": people(ADA)})
    life.run({"A": people(ADA, CY)})
    assert lookups(life) == []
    life.change(BO, forgotten=True)
    life.run({"A": people(ADA, CY, BO)})
    mark = read_mark(life.folder)
    assert mark
    assert mark.looked_up_at == "2030-01-02T03:04:05+00:00"
    now += timedelta(days=1)
    life.run({"A": people(ADA, CY, BO)})
    assert [query["since_last_changed"] for query in lookups(life)] == ["2030-01-02T02:59:05+00:00"]


def test_who_opted_out_and_vanished(life: Life) -> None:
    """Who opted out and is not in the audience any more is not subscribed anew, until they come back by themselves."""
    life.options = {"profile_id": "id"}
    life.put(BO, status="unsubscribed")
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    life.sandbox.reset()
    life.put(ADA, tags=["A"])
    for segments in (people(ADA, BO, id=["1", "2"]), people(ADA, CY, id=["1", "2"])):
        assert life.run({"A": segments}).suppressed_by_reason == {"unsubscribed": 1}
        assert life.run({"A": segments}, full=True).suppressed_by_reason == {"unsubscribed": 1}
    assert life.audience().keys() == {ADA}


def test_who_comes_back_under_a_new_address(life: Life) -> None:
    """A new address is no new consent, but to sign up with it is; and it stays one."""
    life.options = {"profile_id": "id"}
    life.put(BO, status="unsubscribed")
    life.run({"A": people(ADA, BO, id=["1", "2"])})
    segments = {"A": people(ADA, CY, id=["1", "2"])}
    assert life.run(segments).suppressed_by_reason == {"unsubscribed": 1}
    sign_up(life, CY)
    assert life.run(segments).counts == Counts(rows_read=2, unchanged=1, updated=1)
    assert life.run(segments).counts == Counts(rows_read=2, unchanged=2)
    assert life.audience() == {
        ADA: ("subscribed", {"A"}),
        BO: ("unsubscribed", set()),
        CY: ("subscribed", {"A"}),
    }


def test_a_ledger_that_does_not_say_when_it_looked(life: Life) -> None:
    """For a ledger of release 0.1.0 it is asked since the oldest of the refusals."""
    life.change(BO, forgotten=True)
    segments = {"A": people(ADA, BO)}
    life.run(segments)
    mark = read_mark(life.folder)
    assert mark
    with life.folder.reading(LEDGER) as path:
        table = pq.read_table(path)
    (changed_at,) = {row["changed_at"] for row in table.to_pylist() if row["email"] == BO}
    silent = {METADATA_KEY: replace(mark, looked_up_at="", tags=None).to_json()}
    with life.folder.writing(LEDGER) as draft:
        pq.write_table(table.replace_schema_metadata(silent), draft, write_page_checksum=True)
    sign_up(life, BO)
    assert life.run(segments).counts == Counts(rows_read=2, unchanged=1, updated=1)
    since = (changed_at.astimezone(UTC) - timedelta(minutes=5)).isoformat(timespec="seconds")
    assert [query["since_last_changed"] for query in lookups(life)] == [since]
