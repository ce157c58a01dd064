"""Only what changed is sent: the second and every further run of an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning.guards import NO_ROWS_REMEDY, SEGMENT_WITHOUT_ROWS
from airflow_mailchimp_export.state.ledger import LEDGER, read_mark
from airflow_mailchimp_export.state.run import RunFolder
from tests.kit.exports import AUDIENCE_ID
from tests.kit.life import Life, changing, members_sent
from tests.kit.people import people

ADA, BO, CY, FAKE = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu", "ada@example.com"
NAMES = {"EMAIL": "email", "FNAME": "name"}


@pytest.mark.parametrize("delivery", Delivery)
def test_a_second_run_sends_nothing(life: Life, delivery: Delivery) -> None:
    """By either delivery, a run on the same segments counts everybody as unchanged and makes no changing request."""
    segments = {"A": people(ADA, BO, ADA.upper()), "B": people(BO, CY)}
    first = life.run(segments, delivery=delivery)
    ledger = life.folder.read(LEDGER)
    with life.watched() as seen:
        second = life.run(segments, delivery=delivery)
    assert first.counts == Counts(rows_read=5, merged=2, created=3)
    assert second.counts == Counts(rows_read=5, merged=2, unchanged=3)
    assert {name: (one.members, one.joined) for name, one in second.segments.items()} == {
        "A": (2, 0),
        "B": (2, 0),
    }
    assert changing(seen) == []
    assert life.folder.read(LEDGER) == ledger
    assert RunFolder(Path(life.folder.uri) / "run2").manifest.ledger_version == 1


@pytest.mark.parametrize("on_leave", [OnLeave.KEEP, OnLeave.UNTAG])
def test_a_segment_without_rows_is_said(
    life: Life, on_leave: OnLeave, caplog: pytest.LogCaptureFixture
) -> None:
    """A first run, and one whose people are all gone from a segment, warn of it by its name; the others say nothing."""
    warned = (FieldWarning("B", SEGMENT_WITHOUT_ROWS, 1, (), NO_ROWS_REMEDY),)
    first = life.run({"A": people(ADA), "B": people()}, on_leave=on_leave)
    assert (first.warnings, first.counts) == (warned, Counts(rows_read=1, created=1))
    assert f"Segment 'B': {SEGMENT_WITHOUT_ROWS}. {NO_ROWS_REMEDY}" in caplog.messages
    assert life.run({"A": people(ADA), "B": people(BO)}, on_leave=on_leave).warnings == ()
    gone = life.run({"A": people(ADA), "B": people()}, on_leave=on_leave, max_removal_ratio=1)
    assert gone.warnings == warned


def test_who_changed_is_sent(life: Life) -> None:
    """Of three people one has another name now: one is sent, two are unchanged."""
    life.field_map = NAMES
    life.run({"A": people(ADA, BO, CY, name=["Ada", "Bo", "Cy"])})
    with life.watched() as seen:
        report = life.run({"A": people(ADA, BO, CY, name=["Ada", "Bob", "Cy"])})
    assert report.counts == Counts(rows_read=3, unchanged=2, updated=1)
    assert members_sent(seen) == 1
    assert read_mark(life.folder).version == 2


def test_who_joined_is_sent(life: Life) -> None:
    """Somebody new is created, and who joins a second segment gets its tag and keeps the first."""
    life.run({"A": people(ADA, BO), "B": people(CY)})
    report = life.run({"A": people(ADA, BO), "B": people(CY, BO, "new@brieftaube.eu")})
    assert report.counts == Counts(rows_read=5, merged=1, unchanged=2, updated=1, created=1)
    assert life.tags(BO) == {"A", "B"}
    assert (report.segments["A"].joined, report.segments["B"].joined) == (0, 2)


def test_another_field_map_sends_everybody(life: Life) -> None:
    """What would be said of a person depends on the field map too: with another one nobody is unchanged."""
    life.field_map = {"EMAIL": "email", "FNAME": {"column": "name", "default": "friend"}}
    segments = {"A": people(ADA, BO, name=["Ada", ""])}
    life.run(segments)
    life.field_map = {"EMAIL": "email", "FNAME": {"column": "name", "default": "you"}}
    assert life.run(segments).counts == Counts(rows_read=2, updated=2)
    assert life.run(segments).counts == Counts(rows_read=2, unchanged=2)


def test_full_sends_everybody(life: Life) -> None:
    """With full=True everybody is sent, the unchanged and the refused, and the ledger goes on."""
    segments = {"A": people(ADA, BO, FAKE)}
    life.run(segments)
    with life.watched() as seen:
        report = life.run(segments, full=True)
    assert report.counts == Counts(rows_read=3, updated=2, rejected=1)
    assert members_sent(seen) == 3
    assert read_mark(life.folder).version == 2


class TestRefused:
    """People whom Mailchimp refused before."""

    def test_they_are_not_sent_again(self, life: Life) -> None:
        """Whose profile is as it was stays rejected for the same reason, without a request."""
        segments = {"A": people(ADA, FAKE)}
        first = life.run(segments)
        with life.watched() as seen:
            second = life.run(segments)
        assert first.counts == Counts(rows_read=2, created=1, rejected=1)
        assert second.counts == Counts(rows_read=2, unchanged=1, rejected=1)
        assert second.rejects_by_reason == first.rejects_by_reason == {"fake_address": 1}
        assert changing(seen) == []
        assert life.ledger()[FAKE]["state"] == "rejected"

    def test_they_are_sent_again_when_the_profile_changes(self, life: Life) -> None:
        """A refused person whose profile has changed is worth another try."""
        life.field_map = NAMES
        life.run({"A": people(ADA, FAKE, name=["Ada", "X"])})
        with life.watched() as seen:
            report = life.run({"A": people(ADA, FAKE, name=["Ada", "Y"])})
        assert report.counts == Counts(rows_read=2, unchanged=1, rejected=1)
        assert members_sent(seen) == 1

    def test_they_are_sent_again_when_the_refusal_passes(self, life: Life) -> None:
        """Who had signed up to too many lists lately is sent by each run, until Mailchimp takes them."""
        life.put("busy@brieftaube.eu", status="", over_subscribed=2)
        counted = [life.run({"A": people("busy@brieftaube.eu", ADA)}).counts for _ in range(4)]
        assert [(counts.rejected, counts.created, counts.unchanged) for counts in counted] == [
            (1, 1, 0),
            (1, 0, 1),
            (0, 1, 1),
            (0, 0, 2),
        ]
        assert life.tags("busy@brieftaube.eu") == {"A"}

    def test_the_permanently_deleted_are_left_alone(self, life: Life) -> None:
        """Who was permanently deleted is found out by sending them once, and not again."""
        life.put("gone@brieftaube.eu", status="", forgotten=True)
        segments = {"A": people("gone@brieftaube.eu", ADA)}
        assert life.run(segments).suppressed_by_reason == {"forgotten": 1}
        with life.watched() as seen:
            report = life.run(segments)
        assert report.suppressed_by_reason == {"forgotten": 1}
        assert changing(seen) == []


class TestWhoSaidNo:
    """People who are unsubscribed, cleaned, pending, transactional or archived."""

    @pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "pending", "transactional", "archived"])
    def test_they_are_never_sent(self, life: Life, status: str) -> None:
        """They are suppressed by each run, and stand as before."""
        life.put(BO, status=status)
        for _ in range(2):
            with life.watched() as seen:
                report = life.run({"A": people(BO)})
            assert report.suppressed_by_reason == {status: 1}
            assert changing(seen) == []
        assert life.audience() == {BO: (status, set())}

    def test_who_comes_back_is_sent(self, life: Life) -> None:
        """Whoever subscribed again by themselves gets the tag by the next run, though nothing changed at the source."""
        life.put(BO, status="unsubscribed")
        segments = {"A": people(ADA, BO)}
        life.run(segments)
        life.change(BO, status="subscribed")
        assert life.run(segments).counts == Counts(rows_read=2, unchanged=1, updated=1)
        assert life.audience()[BO] == ("subscribed", {"A"})

    def test_who_opts_out_later_is_suppressed(self, life: Life) -> None:
        """Whom this export had put there, and who opted out since, is not sent, whatever changes at the source."""
        life.field_map = NAMES
        life.run({"A": people(ADA, BO, name=["Ada", "Bo"])})
        life.change(BO, status="unsubscribed", compliance=True)
        report = life.run({"A": people(ADA, BO, name=["Ada", "Bob"])})
        assert report.counts == Counts(rows_read=2, unchanged=1, suppressed=1)
        assert life.audience()[BO] == ("unsubscribed", {"A"})


def test_the_ledger_tells_who_is_there(life: Life) -> None:
    """The ledger names state, status, tags, reason and run of everybody, and what was sent by a fingerprint."""
    life.put(CY, status="cleaned")
    life.run({"A": people(ADA, FAKE, CY), "B": people(ADA)})
    held = {
        email: (
            row["state"],
            row["status"],
            row["tags"],
            row["reason"],
            row["run"],
            row["fingerprint"] is not None,
        )
        for email, row in life.ledger().items()
    }
    assert held == {
        ADA: ("member", "subscribed", ["A", "B"], "", "run1", True),
        FAKE: ("rejected", "subscribed", [], "fake_address", "run1", True),
        CY: ("suppressed", None, [], "cleaned", "run1", True),
    }


def test_everything_else_is_left_alone(life: Life) -> None:
    """Who is in the audience and in no segment is not touched, whatever tags they carry."""
    life.put("stranger@brieftaube.eu", tags=["A", "other"])
    life.run({"A": people(ADA)})
    life.run({"A": people(BO)}, max_removal_ratio=1)
    assert life.audience()["stranger@brieftaube.eu"] == ("subscribed", {"A", "other"})
    assert AUDIENCE_ID in life.account.audiences
