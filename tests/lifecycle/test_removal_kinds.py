"""Another kind of removal is one row, and the call that goes with it."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.address import subscriber_hash
from airflow_mailchimp_export.delivery.removals import REMOVAL_CALLS
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from airflow_mailchimp_export.model import (
    Delivery,
    Effect,
    LedgerState,
    Outcome,
    Reason,
    RemovalChunk,
    RemovalKind,
)
from airflow_mailchimp_export.options import OnLeave, parse_on_leave
from airflow_mailchimp_export.rules import REMOVAL_KINDS
from tests.kit.exports import AUDIENCE_ID as AUDIENCE
from tests.kit.life import Life
from tests.kit.people import people

ADA, BO, CY = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu"

UNSUBSCRIBE = RemovalKind(
    "unsubscribe", chunk_size=1, state=LedgerState.SUPPRESSED, reason=Reason.UNSUBSCRIBED
)


def unsubscribe(audience_id: str, chunk: RemovalChunk, _: object) -> Call[tuple[Outcome, ...]]:
    """Make the request by which one person is unsubscribed."""
    (email,) = chunk.emails
    path = f"/lists/{audience_id}/members/{subscriber_hash(email)}"
    request = Request("PATCH", path, body=b'{"status":"unsubscribed"}')
    return Call(request, lambda _: (Outcome(email, Effect.REMOVED),))


@pytest.fixture
def life(life: Life, monkeypatch: pytest.MonkeyPatch) -> Life:
    """An export that unsubscribes those who are in no segment any more."""
    monkeypatch.setitem(REMOVAL_KINDS, UNSUBSCRIBE.name, UNSUBSCRIBE)
    monkeypatch.setitem(REMOVAL_CALLS, UNSUBSCRIBE.name, unsubscribe)
    life.options = {"on_leave": parse_on_leave("Unsubscribe"), "max_removal_ratio": 1}
    return life


@pytest.mark.parametrize("delivery", Delivery)
class TestAnotherKind:
    """``unsubscribe``: a row and a call that the package does not have."""

    def test_it_is_planned_and_delivered(self, life: Life, delivery: Delivery) -> None:
        """Who is in no segment any more is unsubscribed, one by one; who is still in one only loses the tag."""
        life.run({"A": people(ADA, BO, CY), "B": people(CY)}, delivery=delivery)
        with life.watched() as seen:
            report = life.run({"A": people(ADA), "B": people(CY)}, delivery=delivery)
        assert report.counts == Counts(rows_read=2, unchanged=2, removed=2)
        assert report.segments["A"].left == 2
        assert life.audience() == {
            ADA: ("subscribed", {"A"}),
            BO: ("unsubscribed", {"A"}),
            CY: ("subscribed", {"B"}),
        }
        if delivery is Delivery.DIRECT:
            member = f"/lists/{AUDIENCE}/members/{subscriber_hash(BO)}"
            assert [entry.path for entry in seen if entry.method == "PATCH"] == [member]

    def test_the_ledger_remembers_it(self, life: Life, delivery: Delivery) -> None:
        """They are suppressed as unsubscribed, cost nothing in further runs, and are left alone when they return."""
        for segment in (people(ADA, BO), people(ADA), people(ADA)):
            report = life.run({"A": segment}, delivery=delivery)
        assert report.counts == Counts(rows_read=1, unchanged=1)
        assert (life.ledger()[BO]["state"], life.ledger()[BO]["reason"]) == ("suppressed", "unsubscribed")
        report = life.run({"A": people(ADA, BO)}, delivery=delivery)
        assert report.suppressed_by_reason == {"unsubscribed": 1}
        assert life.audience()[BO][0] == "unsubscribed"

    def test_who_subscribes_again_is_sent(self, life: Life, delivery: Delivery) -> None:
        """Whoever comes back by themselves, and into the segment, is a member of this export again."""
        for segment in (people(ADA, BO), people(ADA)):
            life.run({"A": segment}, delivery=delivery)
        life.change(BO, status="subscribed")
        report = life.run({"A": people(ADA, BO)}, delivery=delivery)
        assert report.counts == Counts(rows_read=2, unchanged=1, updated=1)
        assert life.ledger()[BO]["state"] == "member"


def test_a_dry_run_plans_it(life: Life) -> None:
    """A dry run counts who would be removed, and removes nobody."""
    life.run({"A": people(ADA, BO)})
    assert life.run({"A": people(ADA)}, dry_run=True).counts.removed == 1
    assert life.audience()[BO] == ("subscribed", {"A"})


def test_every_kind_has_its_call() -> None:
    """Each kind of removal has a request, and what on_leave may be is a kind, or keep."""
    assert REMOVAL_CALLS.keys() == REMOVAL_KINDS.keys()
    assert {one.value for one in OnLeave} <= {*REMOVAL_KINDS, "keep"}
    assert all(name == kind.name for name, kind in REMOVAL_KINDS.items())
