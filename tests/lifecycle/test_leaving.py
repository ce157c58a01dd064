"""Who leaves a segment, and who returns."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.model import Delivery, MemberStatus, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.ledger import LEDGER
from tests.kit.exports import LIST
from tests.kit.life import Life, changing, one_by_one
from tests.kit.people import people

ADA, BO, CY = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu"


@pytest.fixture
def life(life: Life) -> Life:
    """An export of few people, of whom most may leave."""
    life.options = {"max_removal_ratio": 1}
    return life


@pytest.mark.parametrize("delivery", Delivery)
class TestUntag:
    """Who left loses the tag; it is what happens unless told otherwise."""

    def test_who_left_loses_the_tag(self, life: Life, delivery: Delivery) -> None:
        """They stay in the audience as they are, without the tag, and the report and the ledger say so."""
        life.run({"A": people(ADA, BO)}, delivery=delivery)
        report = life.run({"A": people(ADA)}, delivery=delivery)
        assert report.counts == Counts(rows_read=1, unchanged=1, removed=1)
        assert report.segments["A"].left == 1
        assert life.audience() == {ADA: ("subscribed", {"A"}), BO: ("subscribed", set())}
        assert life.ledger().keys() == {ADA}

    def test_one_of_two_segments(self, life: Life, delivery: Delivery) -> None:
        """Who leaves one segment and stays in another loses just that tag, and keeps what others gave."""
        life.run({"A": people(ADA), "B": people(ADA)}, delivery=delivery)
        life.change(ADA, tags=["A", "B", "by hand"])
        report = life.run({"A": people(BO), "B": people(ADA)}, delivery=delivery)
        assert report.counts == Counts(rows_read=2, unchanged=1, created=1, removed=1)
        assert life.tags(ADA) == {"B", "by hand"}
        assert life.ledger()[ADA]["tags"] == ["B"]

    def test_who_returns_gets_the_tag_again(self, life: Life, delivery: Delivery) -> None:
        """Though the profile is as it was when it left, the person is tagged again."""
        for segment in (people(ADA, BO), people(ADA), people(ADA, BO)):
            report = life.run({"A": segment}, delivery=delivery)
        assert report.counts == Counts(rows_read=2, unchanged=1, updated=1)
        assert report.segments["A"].joined == 1
        assert life.tags(BO) == {"A"}

    def test_who_changes_segment(self, life: Life, delivery: Delivery) -> None:
        """Who moves from one segment to the other has the one tag instead of the other, in one run."""
        life.run({"A": people(ADA, BO), "B": people(CY)}, delivery=delivery)
        report = life.run({"A": people(ADA), "B": people(CY, BO)}, delivery=delivery)
        assert report.counts == Counts(rows_read=3, unchanged=2, updated=1, removed=1)
        assert life.tags(BO) == {"B"}
        assert life.ledger()[BO]["tags"] == ["B"]

    def test_many_at_once(self, life: Life, delivery: Delivery) -> None:
        """1,201 people lose a tag by three calls."""
        crowd = [f"p{number}@brieftaube.eu" for number in range(1201)]
        life.run({"A": people(ADA, *crowd)}, delivery=delivery)
        with life.watched() as seen:
            report = life.run({"A": people(ADA)}, delivery=delivery)
        assert report.counts.removed == 1201
        assert len(changing(seen)) == {Delivery.DIRECT: 3, Delivery.BATCH: 1}[delivery]
        assert all(tags == ({"A"} if email == ADA else set()) for email, (_, tags) in life.audience().items())

    def test_the_tag_is_gone(self, life: Life, delivery: Delivery) -> None:
        """Where somebody has deleted the tag in Mailchimp, whoever left is removed anyway."""
        life.run({"A": people(ADA), "B": people(BO, CY)}, delivery=delivery)
        segments = life.sandbox.call("GET", f"{LIST}/segments")["segments"]
        (tag_id,) = [segment["id"] for segment in segments if segment["name"] == "B"]
        life.sandbox.call("DELETE", f"{LIST}/segments/{tag_id}")
        report = life.run({"A": people(ADA), "B": people(CY)}, delivery=delivery)
        assert (report.counts.removed, report.counts.removal_failed) == (1, 0)
        assert BO not in life.ledger()


@pytest.mark.parametrize("delivery", Delivery)
class TestArchive:
    """Who is in no segment any more is archived."""

    def test_who_left_is_archived(self, life: Life, delivery: Delivery) -> None:
        """Who left the last segment is archived; who is still in another only loses the tag."""
        life.run({"A": people(ADA, BO, CY), "B": people(CY)}, delivery=delivery)
        report = life.run({"A": people(ADA), "B": people(CY)}, delivery=delivery, on_leave=OnLeave.ARCHIVE)
        assert report.counts == Counts(rows_read=2, unchanged=2, removed=2)
        assert life.audience()[BO][0] == "archived"
        assert life.audience()[CY] == ("subscribed", {"B"})
        assert life.ledger()[BO]["state"] == "archived"

    def test_who_returns_is_restored(self, life: Life, delivery: Delivery) -> None:
        """Whom this export archived itself comes back as what they were before, with the tag."""
        how = {
            "delivery": delivery,
            "on_leave": OnLeave.ARCHIVE,
            "new_member_status": MemberStatus.TRANSACTIONAL,
        }
        life.run({"A": people(ADA, BO, CY)}, **how)
        # By the signup form, while they are members of this export.
        life.change(BO, status="subscribed")
        life.run({"A": people(ADA, BO, CY)}, **how, full=True)
        for segment in (people(CY), people(ADA, BO, CY)):
            report = life.run({"A": segment}, **how)
        # Mailchimp counts who was archived among the new ones.
        assert report.counts == Counts(rows_read=3, unchanged=1, created=2)
        assert life.audience() == {
            ADA: ("transactional", {"A"}),
            BO: ("subscribed", {"A"}),
            CY: ("transactional", {"A"}),
        }

    def test_archived_ones_are_not_archived_again(self, life: Life, delivery: Delivery) -> None:
        """Who was archived and stays away costs nothing in further runs."""
        for segment in (people(ADA, BO), people(ADA)):
            life.run({"A": segment}, delivery=delivery, on_leave=OnLeave.ARCHIVE)
        with life.watched() as seen:
            report = life.run({"A": people(ADA)}, delivery=delivery, on_leave=OnLeave.ARCHIVE)
        assert report.counts == Counts(rows_read=1, unchanged=1)
        assert changing(seen) == []

    def test_who_was_archived_by_others_stays_so(self, life: Life, delivery: Delivery) -> None:
        """Whom somebody archived in Mailchimp is suppressed, though this export had put them there."""
        life.run({"A": people(ADA, BO)}, delivery=delivery)
        life.change(BO, status="archived")
        with life.watched() as seen:
            report = life.run({"A": people(ADA, BO)}, delivery=delivery, full=True)
        assert report.suppressed_by_reason == {"archived": 1}
        assert life.audience()[BO][0] == "archived"
        assert len(changing(seen)) == 1

    def test_who_opted_out_meanwhile_is_not_restored(self, life: Life, delivery: Delivery) -> None:
        """Whom this export archived, and who stands as unsubscribed when they return, is left alone."""
        for segment in (people(ADA, BO), people(ADA)):
            life.run({"A": segment}, delivery=delivery, on_leave=OnLeave.ARCHIVE)
        life.change(BO, status="unsubscribed", compliance=True)
        report = life.run({"A": people(ADA, BO)}, delivery=delivery, on_leave=OnLeave.ARCHIVE)
        assert report.suppressed_by_reason == {"unsubscribed": 1}
        assert life.audience()[BO][0] == "unsubscribed"


def test_keep_leaves_them_as_they_are(life: Life) -> None:
    """With on_leave keep nobody loses a tag, and the ledger keeps them in mind for a run that untags."""
    life.run({"A": people(ADA, BO)})
    with life.watched() as seen:
        report = life.run({"A": people(ADA)}, on_leave=OnLeave.KEEP)
    assert report.counts == Counts(rows_read=1, unchanged=1)
    assert changing(seen) == []
    assert life.run({"A": people(ADA)}).counts.removed == 1
    assert life.tags(BO) == set()


def test_a_run_with_fewer_segments_leaves_the_others_alone(life: Life) -> None:
    """Exporting one segment by hand takes nobody's tag of another, neither untagging nor archiving."""
    life.run({"A": people(ADA, BO), "B": people(ADA, CY)})
    report = life.run({"A": people(ADA)}, on_leave=OnLeave.ARCHIVE)
    assert report.counts == Counts(rows_read=1, unchanged=1, removed=1)
    assert life.audience() == {
        ADA: ("subscribed", {"A", "B"}),
        BO: ("archived", {"A"}),
        CY: ("subscribed", {"B"}),
    }
    assert life.ledger()[ADA]["tags"] == ["A", "B"]
    assert life.run({"A": people(ADA), "B": people(ADA, CY)}).counts == Counts(
        rows_read=3, merged=1, unchanged=2
    )


def test_who_said_no_keeps_the_tag(life: Life) -> None:
    """Who opted out and then left is not touched, and is still this export's once they come back."""
    life.run({"A": people(ADA, BO)})
    life.change(BO, status="unsubscribed")
    with life.watched() as seen:
        assert life.run({"A": people(ADA)}).counts == Counts(rows_read=1, unchanged=1)
    assert changing(seen) == []
    life.change(BO, status="subscribed")
    assert life.run({"A": people(ADA)}).counts.removed == 1
    assert life.tags(BO) == set()


def test_who_is_not_in_the_audience_any_more(life: Life) -> None:
    """Who was deleted in Mailchimp and then left counts as removed."""
    life.run({"A": people(ADA, BO)})
    life.account.clear()
    life.put(ADA, tags=["A"])
    report = life.run({"A": people(ADA)})
    assert (report.counts.removed, report.verdict) == (1, Verdict.SUCCESS)
    assert BO not in life.ledger()


def test_a_failed_removal_is_tried_again(life: Life) -> None:
    """Who could not be archived is counted, makes the run PARTIAL, and is tried again by the next run."""
    life.run({"A": people(ADA, BO)})
    archived_meanwhile = one_by_one(None, lambda: life.change(BO, status="archived"))
    report = life.run({"A": people(ADA)}, on_leave=OnLeave.ARCHIVE, permit=archived_meanwhile)
    assert (report.counts.removed, report.counts.removal_failed) == (0, 1)
    assert report.verdict is Verdict.PARTIAL
    assert life.ledger()[BO]["tags"] == ["A"]
    life.change(BO, status="subscribed")
    assert life.run({"A": people(ADA)}, on_leave=OnLeave.ARCHIVE).counts.removed == 1
    assert life.audience()[BO][0] == "archived"


class TestFirstRun:
    """There is no ledger yet."""

    def test_those_who_carry_the_tag_are_left_alone(self, life: Life) -> None:
        """People who carry the tag and are not in the segment keep it: this export did not give it."""
        life.put(BO, CY, tags=["A"])
        report = life.run({"A": people(ADA, BO)})
        assert report.counts == Counts(rows_read=2, created=1, updated=1)
        assert life.tags(CY) == {"A"}

    def test_an_adopted_tag_is_this_exports(self, life: Life) -> None:
        """With adopt_existing_tag, who carries the tag and is not in the segment loses it on the first run."""
        life.put(BO, CY, tags=["A", "B", "other"])
        report = life.run({"A": people(ADA, BO), "B": people(CY)}, adopt_existing_tag=True)
        assert report.counts == Counts(rows_read=3, created=1, updated=2, removed=2)
        assert life.tags(BO) == {"A", "other"}
        assert life.tags(CY) == {"B", "other"}
        assert life.ledger()[CY]["tags"] == ["B"]

    def test_a_tag_that_is_not_there_yet(self, life: Life) -> None:
        """Where no tag of that name exists there is nothing to adopt."""
        assert life.run({"A": people(ADA)}, adopt_existing_tag=True).counts == Counts(rows_read=1, created=1)

    def test_adopting_is_for_the_first_run(self, life: Life) -> None:
        """Once there is a ledger, people whom others tagged since are left alone."""
        life.run({"A": people(ADA)}, adopt_existing_tag=True)
        life.put(CY, tags=["A"])
        with life.watched() as seen:
            life.run({"A": people(ADA)}, adopt_existing_tag=True)
        assert changing(seen) == []
        assert life.tags(CY) == {"A"}

    def test_those_who_said_no_are_not_adopted_away(self, life: Life) -> None:
        """Who carries the tag, said no, and is not in the segment, is not touched."""
        life.put(CY, status="unsubscribed", tags=["A"])
        life.run({"A": people(ADA)}, adopt_existing_tag=True)
        assert life.audience()[CY] == ("unsubscribed", {"A"})


def test_nobody_left_without_a_ledger(life: Life) -> None:
    """An export that never put anybody there leaves no ledger when it has nobody to put."""
    life.run({"A": people()})
    assert not life.folder.exists(LEDGER)
