"""``archive`` takes out only whom this export put into the audience, and whom no other export has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.accounting.shown import table
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.run import ExportFolder
from tests.kit.life import Life
from tests.kit.people import people

ADA, BO, CY, DEE = (f"{name}@brieftaube.eu" for name in ("ada", "bo", "cy", "dee"))


@pytest.fixture
def life(life: Life) -> Life:
    """An export that archives those who are in no segment any more."""
    life.options = {"max_removal_ratio": 1, "on_leave": OnLeave.ARCHIVE}
    return life


@pytest.fixture
def other(life: Life) -> Life:
    """Another export of the same audience, under the same root."""
    folder = ExportFolder(Path(life.folder.uri).with_name("other"))
    return replace(life, folder=folder, options={**life.options, "name": "other"}, requests=[])


@pytest.mark.parametrize("delivery", Delivery)
def test_a_subscriber_of_the_website_is_untagged(life: Life, delivery: Delivery) -> None:
    """Who was in the audience before only loses the tag; who was created by the export is archived."""
    life.put(BO)
    life.run({"A": people(ADA, BO, CY)}, delivery=delivery)
    assert {email: row["created"] for email, row in life.ledger().items()} == {ADA: True, BO: False, CY: True}
    report = life.run({"A": people(ADA)}, delivery=delivery)
    assert report.counts == Counts(rows_read=1, unchanged=1, removed=2)
    assert report.untagged_instead == 1
    assert "untagged in place of archived" in table(report)
    assert life.audience() == {
        ADA: ("subscribed", {"A"}),
        BO: ("subscribed", set()),
        CY: ("archived", {"A"}),
    }
    assert life.ledger().keys() == {ADA, CY}


def test_created_is_kept_for_good(life: Life) -> None:
    """Who was created, then updated, then archived and restored is still this export's."""
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    for rows in (
        people(ADA, BO, name=["Ada", "Bo"]),
        people(ADA, BO, name=["Ada", "Bob"]),
        people(ADA, name=["Ada"]),
        people(ADA, BO, name=["Ada", "Bo"]),
    ):
        life.run({"A": rows})
    assert life.ledger()[BO]["created"] is True
    assert life.run({"A": people(ADA, name=["Ada"])}).untagged_instead == 0
    assert life.audience()[BO][0] == "archived"


def test_a_member_of_another_export_is_untagged(life: Life, other: Life) -> None:
    """Whom another export of the audience has is not archived, though this export created them."""
    life.run({"A": people(ADA, BO)})
    other.run({"B": people(BO, DEE)})
    report = life.run({"A": people(ADA)})
    assert (report.counts.removed, report.untagged_instead) == (1, 1)
    assert life.audience()[BO] == ("subscribed", {"B"})
    assert other.run({"B": people(BO, DEE)}).counts == Counts(rows_read=2, unchanged=2)


def test_who_left_the_other_export_too_is_archived(life: Life, other: Life) -> None:
    """Whom the other export has given up is archived by the one that created them."""
    life.run({"A": people(ADA, BO)})
    other.run({"B": people(BO, DEE)})
    assert other.run({"B": people(DEE)}).untagged_instead == 1
    assert life.run({"A": people(ADA)}).untagged_instead == 0
    assert life.audience()[BO][0] == "archived"


def test_nobody_is_archived_while_another_ledger_cannot_be_read(life: Life, other: Life) -> None:
    """Whether another export has somebody is not known then, so they are untagged."""
    life.run({"A": people(ADA, BO)})
    other.folder.put(LEDGER, b"damaged")
    assert life.run({"A": people(ADA)}).untagged_instead == 1
    assert life.audience()[BO] == ("subscribed", set())


def test_who_came_back_by_themselves_is_untagged(life: Life) -> None:
    """Who unsubscribed and subscribed again by themselves was not put there by this export any more."""
    life.run({"A": people(ADA, BO)})
    life.change(BO, status="unsubscribed")
    life.run({"A": people(ADA, BO)})
    life.change(BO, status="subscribed")
    life.run({"A": people(ADA, BO)})
    assert life.ledger()[BO]["created"] is False
    assert life.run({"A": people(ADA)}).untagged_instead == 1
    assert life.audience()[BO] == ("subscribed", set())


def test_who_was_archived_and_signed_up_is_untagged(life: Life) -> None:
    """Who was archived by this export and subscribed by themselves since loses the tag, and is not archived again."""
    life.run({"A": people(ADA, BO)})
    life.run({"A": people(ADA)})
    assert life.audience()[BO] == ("archived", {"A"})
    life.sandbox.control("signup", {"email": BO})
    report = life.run({"A": people(ADA)})
    assert (report.counts.removed, report.untagged_instead) == (1, 1)
    assert life.audience()[BO] == ("subscribed", set())
    assert life.ledger().keys() == {ADA}


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed"])
def test_who_is_archived_by_somebody_else_later_stays_archived(life: Life, status: str) -> None:
    """Who was in the audience again after this export archived them is not restored where others archive them."""
    life.run({"A": people(ADA, BO)})
    life.run({"A": people(ADA)})
    life.change(BO, status=status)
    life.run({"A": people(ADA)})
    life.change(BO, status="archived")
    assert life.run({"A": people(ADA, BO)}).suppressed_by_reason == {"archived": 1}
    assert life.audience()[BO][0] == "archived"


def test_a_dry_run_says_it_too(life: Life) -> None:
    """A dry run counts who would be untagged in place of archived; with untag nobody is."""
    life.put(BO)
    life.run({"A": people(ADA, BO)})
    assert life.run({"A": people(ADA)}, dry_run=True).untagged_instead == 1
    assert life.run({"A": people(ADA)}, on_leave=OnLeave.UNTAG).untagged_instead == 0
