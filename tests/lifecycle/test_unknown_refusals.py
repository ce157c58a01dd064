"""Mailchimp refuses in words that nobody knows: whether that passes is tried, a few times."""

from __future__ import annotations

import csv
import io

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.state.run import REJECTS
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.people import people

BO = "bo@brieftaube.eu"
WORDS = f"The moon is wrong for {BO}, sorry"
MASKED = "The moon is wrong for <address> sorry"


def refuse(_: Request) -> dict[str, object]:
    """Answer as Mailchimp does for a member that it refuses."""
    error = {"email_address": BO, "error": WORDS, "field": "", "field_message": ""}
    return {"new_members": [], "updated_members": [], "errors": [error], "error_count": 1}


@pytest.fixture
def life(life: Life) -> Life:
    """An export of whom all may be refused, and are."""
    life.options = {"max_reject_ratio": 1}
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    life.script[f"POST {LIST}"] = refuse
    return life


def words_in_rejects(life: Life, run: str) -> list[str]:
    """What rejects.csv says that Mailchimp said."""
    text = life.folder.read(f"{run}/{REJECTS}").decode("utf-8-sig")
    return [row["mailchimp_says"] for row in csv.DictReader(io.StringIO(text))]


def test_they_are_sent_in_three_more_runs(life: Life) -> None:
    """Four times refused they are remembered, counted each time, and their words stay in ledger and rejects.csv."""
    segments = {"A": people(BO, name=["Bo"])}
    sent = []
    for _ in range(6):
        before = len(life.carriers())
        report = life.run(segments)
        sent.append(len(life.carriers()) - before)
        assert report.counts == Counts(rows_read=1, rejected=1)
        assert report.rejects_by_reason == {"refused": 1}
        assert life.ledger()[BO]["words"] == MASKED
    assert sent == [1, 1, 1, 1, 0, 0]
    assert life.ledger()[BO]["attempts"] == 4
    assert [words_in_rejects(life, f"run{number}") for number in (1, 4, 5, 6)] == [
        [WORDS],
        [WORDS],
        [MASKED],
        [MASKED],
    ]


def test_another_profile_is_tried_afresh(life: Life) -> None:
    """Once the profile changes it is sent, and three times more if that is refused too."""
    for _ in range(5):
        life.run({"A": people(BO, name=["Bo"])})
    before = len(life.carriers())
    for _ in range(6):
        life.run({"A": people(BO, name=["Bob"])})
    assert len(life.carriers()) - before == 4


def test_one_that_passed(life: Life) -> None:
    """Who is taken in the end is a member, and nothing of the refusal stays."""
    segments = {"A": people(BO, name=["Bo"])}
    life.run(segments)
    del life.script[f"POST {LIST}"]
    assert life.run(segments).counts == Counts(rows_read=1, created=1)
    row = life.ledger()[BO]
    assert (row["state"], row["reason"], row["words"], row["attempts"]) == ("member", "", "", 0)
