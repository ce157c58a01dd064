"""What was previewed and agreed to is what an export does, and no more is removed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.errors import RemovalLimitExceeded
from airflow_mailchimp_export.settings.approval import Approved, digest_of, parse_approved
from airflow_mailchimp_export.settings.coercion import InvalidValue
from tests.kit.life import Life
from tests.kit.people import people

TEN = [f"p{number}@brieftaube.eu" for number in range(10)]


@pytest.fixture
def life(life: Life) -> Life:
    """An export without a number of people who may always be removed."""
    life.options = {"removal_floor": 0}
    return life


def preview(life: Life, segments: Any) -> tuple[str, Approved]:
    """Return what is over the limit, and what can be agreed to."""
    _, folder = life.submit(segments, dry_run=True, preview=True)
    manifest = folder.manifest
    removals = {count.tag: count.removed for count in manifest.removals}
    return manifest.over_limit, Approved(digest_of(manifest.sources), removals)


def test_as_many_as_were_shown_may_be_removed(life: Life) -> None:
    """The preview tells what is over the limit in place of failing, and what was agreed to lets it through."""
    life.run({"A": people(*TEN), "B": people(*TEN)})
    segments = {"A": people(*TEN[8:]), "B": people(*TEN)}
    over, approved = preview(life, segments)
    assert over.startswith("Too many people would be removed: tag 'A' 8 of 10 people (80%)")
    assert approved.removals == {"": 8, "A": 8, "B": 0}
    with pytest.raises(RemovalLimitExceeded):
        life.run(segments)
    assert life.run(segments, approved=approved).counts.removed == 8


def test_one_more_is_too_many(life: Life) -> None:
    """Of no tag more may be removed than was shown, also where the limit would allow it."""
    life.run({"A": people(*TEN), "B": people(*TEN)})
    _, agreed = preview(life, {"A": people(*TEN[7:]), "B": people(*TEN)})

    def run(segments: Any) -> Report:
        """Run with other removals than were agreed to, as they come of people who changed, not of segments."""
        _, shown = preview(life, segments)
        return life.run(segments, approved=Approved(shown.sources, agreed.removals))

    for segments in (
        {"A": people(*TEN[8:]), "B": people(*TEN)},
        {"A": people(*TEN[7:]), "B": people(*TEN[6:])},
        # Within the limit of each tag, but not within what was shown in all.
        {"A": people(*TEN[7:]), "B": people(*TEN[:7])},
        {"A": people(*TEN[7:]), "B": people(*TEN[1:])},
    ):
        with pytest.raises(RemovalLimitExceeded, match=r"than somebody has said yes to: .*were approved"):
            run(segments)
    assert run({"A": people(*TEN[7:]), "B": people(*TEN)}).counts.removed == 7


def test_what_tasks_hand_over_is_read_back() -> None:
    """As a mapping or its text; nothing means that nobody was asked, and anything else is refused."""
    approved = Approved("0123", {"": 3, "A": 3})
    assert parse_approved(approved.to_value()) == approved
    assert parse_approved('{"sources": "0123", "removals": {"": 3, "A": 3}}') == approved
    assert (parse_approved(None), parse_approved({}), parse_approved("")) == (None, None, None)
    with pytest.raises(InvalidValue):
        parse_approved({"sources": 1})
