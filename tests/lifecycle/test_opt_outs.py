"""People who say no in Mailchimp while an export is being sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.rules import HELD_BACK
from airflow_mailchimp_export.state.notes import BegunMark
from tests.kit.client import in_turn, members_of, out_of_reach
from tests.kit.clock import FakeCalendar
from tests.kit.exports import LIST
from tests.kit.life import Life, one_by_one
from tests.kit.mortal import Killed
from tests.kit.people import many, people


@pytest.fixture
def calendar(life: Life) -> FakeCalendar:
    """The time, as the export knows it."""
    life.now = calendar = FakeCalendar()
    return calendar


def meanwhile(*steps: Callable[[], object] | None) -> Callable[[object], None]:
    """Let something happen before each request in turn, which the sandbox then answers."""
    step = one_by_one(*steps)
    return lambda request: step()


@pytest.mark.parametrize(("delivery", "count"), [(Delivery.DIRECT, 1600), (Delivery.BATCH, 21_000)])
def test_they_are_not_sent(life: Life, calendar: FakeCalendar, delivery: Delivery, count: int) -> None:
    """Who unsubscribes, or bounces, while others are sent is left out, counted, and stays as they are."""
    life.max_connections = 1
    leaves = {f"p{count - 1:06d}@mail.eu": "unsubscribed", f"p{count - 2:06d}@mail.eu": "cleaned"}

    def leave() -> None:
        calendar.forward(seconds=60)
        for email, status in leaves.items():
            life.put(email, status=status)

    path = "POST /batches" if delivery is Delivery.BATCH else f"POST {LIST}"
    life.script[path] = meanwhile(leave)
    report = life.run({"S": many(count)}, delivery=delivery)
    assert report.counts == Counts(rows_read=count, suppressed=2, created=count - 2)
    assert report.suppressed_by_reason == {"cleaned": 1, "unsubscribed": 1}
    audience = life.audience()
    assert {email: audience[email] for email in leaves} == {
        email: (status, set()) for email, status in leaves.items()
    }


@pytest.mark.parametrize("delivery", Delivery)
def test_a_chunk_of_nobody_is_not_sent(life: Life, calendar: FakeCalendar, delivery: Delivery) -> None:
    """Where everybody of a chunk said no there is no request for it, and all of them are counted."""

    def leave(request: object) -> None:
        life.put("a@mail.eu", status="unsubscribed")
        life.put("b@mail.eu", status="cleaned")
        calendar.forward(seconds=31)

    life.script[f"GET {LIST}/members"] = lambda request: (
        leave(request) if dict(request.query)["status"] == "archived" else None
    )
    report = life.run({"S": people("a@mail.eu", "b@mail.eu")}, delivery=delivery)
    assert report.counts == Counts(rows_read=2, suppressed=2)
    assert life.carriers() == []


def test_they_are_asked_for_again_by_a_retry(life: Life, calendar: FakeCalendar) -> None:
    """Who said no between two attempts at a run is not sent by the second one."""
    life.max_connections = 1
    life.script[f"POST {LIST}"] = in_turn(None, Killed())
    with pytest.raises(Killed):
        life.run({"S": many(1500)}, name="run")
    life.put("p001400@mail.eu", status="unsubscribed")
    calendar.forward(hours=3)
    del life.script[f"POST {LIST}"]
    tried = len(life.carriers())
    report = life.run({"S": many(1500)}, name="run")
    assert report.counts.adds_up
    assert report.counts == Counts(rows_read=1500, suppressed=1, unchanged=500, created=999)
    later = [member["email_address"] for request in life.carriers()[tried:] for member in members_of(request)]
    assert later
    assert "p001400@mail.eu" not in later


def test_without_an_answer_nobody_is_sent(life: Life, calendar: FakeCalendar) -> None:
    """Where it cannot be told who said no, the chunk is not sent: its members are unconfirmed."""
    answers = in_turn(*[None] * 5, out_of_reach())

    def answer(request: object) -> None:
        calendar.forward(seconds=31)
        answers()

    life.script[f"GET {LIST}/members"] = answer
    report = life.run({"S": many(3)})
    assert report.counts == Counts(rows_read=3, unconfirmed=3)
    assert life.carriers() == []


@pytest.mark.parametrize("on_leave", [OnLeave.UNTAG, OnLeave.ARCHIVE])
@pytest.mark.parametrize("delivery", Delivery)
def test_who_leaves_and_says_no_is_left_as_they_are(
    life: Life, delivery: Delivery, on_leave: OnLeave
) -> None:
    """Nobody who said no after planning is untagged, nor archived, to be taken for archived by the export later."""
    ada, bo, cy, dee = (f"{name}@mail.eu" for name in ("ada", "bo", "cy", "dee"))
    life.options = {"on_leave": on_leave, "max_removal_ratio": 1, "delivery": delivery}
    life.run({"A": people(ada, bo, cy, dee)})

    def say_no() -> None:
        for email in (ada, cy):
            life.change(email, status="unsubscribed")

    planning = [None] * len(HELD_BACK)
    life.script[f"GET {LIST}/members"] = meanwhile(*planning, say_no)
    report = life.run({"A": people(dee)})
    life.script.clear()
    assert report.counts == Counts(rows_read=1, unchanged=1, removed=1)
    assert report.suppressed_by_reason == {}
    assert {email: life.audience()[email] for email in (ada, cy)} == dict.fromkeys(
        (ada, cy), ("unsubscribed", {"A"})
    )
    assert life.ledger()[ada]["state"] == "member"
    assert life.run({"A": people(dee)}).counts == Counts(rows_read=1, unchanged=1)


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "pending", "transactional", "archived"])
def test_whoever_says_no_before_anything_is_sent(life: Life, status: str) -> None:
    """After planning, and before anything is sent, all statuses that may not be sent are looked up once more."""
    ada, bo = "ada@mail.eu", "bo@mail.eu"
    life.put(ada, bo)
    planning = [None] * len(HELD_BACK)
    life.script[f"GET {LIST}/members"] = meanwhile(*planning, lambda: life.change(ada, status=status))
    report = life.run({"A": people(ada, bo)})
    assert report.counts == Counts(rows_read=2, suppressed=1, updated=1)
    assert life.audience() == {ada: (status, set()), bo: ("subscribed", {"A"})}


def test_a_note_that_takes_its_time(
    life: Life, calendar: FakeCalendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says no while it is noted that a chunk begins, on a storage that is slow, is not sent with it."""
    reach = BegunMark.reach

    def slow(mark: BegunMark, number: int, *, ahead: int = 0) -> None:
        reach(mark, number, ahead=ahead)
        life.put("a@mail.eu", status="unsubscribed")
        calendar.forward(seconds=60)

    monkeypatch.setattr(BegunMark, "reach", slow)
    report = life.run({"S": people("a@mail.eu", "b@mail.eu")})
    assert report.counts == Counts(rows_read=2, suppressed=1, created=1)
    assert life.audience()["a@mail.eu"] == ("unsubscribed", set())


@pytest.mark.parametrize("on_leave", [OnLeave.UNTAG, OnLeave.ARCHIVE])
@pytest.mark.parametrize("delivery", Delivery)
@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "transactional"])
def test_whose_address_changes(life: Life, delivery: Delivery, on_leave: OnLeave, status: str) -> None:
    """Who says no under the old address after planning keeps it, is not sent under the new one, and loses no tag."""
    ada, bo, new = "ada@mail.eu", "bo@mail.eu", "new@mail.eu"
    life.options = {"profile_id": "id", "max_removal_ratio": 1, "delivery": delivery, "on_leave": on_leave}
    before = people(ada, bo, id=["1", "2"])
    life.run({"A": before, "B": before})
    known = life.ledger()[ada]
    planning = [None] * len(HELD_BACK)
    life.script[f"GET {LIST}/members"] = meanwhile(*planning, lambda: life.change(ada, status=status))
    segments = {"A": people(new, bo, id=["1", "2"]), "B": people(bo, id=["2"])}
    report = life.run(segments)
    life.script.clear()
    assert report.counts == Counts(rows_read=3, merged=1, unchanged=1, suppressed=1)
    assert report.suppressed_by_reason == {status: 1}
    assert set(report.address_changes.values()) == {0}
    audience = {ada: (status, {"A", "B"}), bo: ("subscribed", {"A", "B"})}
    assert life.audience() == audience
    assert life.ledger().keys() == {ada, bo}
    assert life.ledger()[ada] == known
    again = life.run(segments)
    assert again.counts.adds_up
    assert again.suppressed_by_reason == ({} if status == "cleaned" else {status: 1})
    assert life.audience()[ada][0] == status
