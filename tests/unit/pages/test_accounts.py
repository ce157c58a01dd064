"""From what tasks have published of their runs to what a list of runs shows of each."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.pages.accounts import DagRunRow, accounts_in, outcome_of, rows_of_dag
from airflow_mailchimp_export.pages.foreign import KINDS
from airflow_mailchimp_export.published.models import PublishedCounts, PublishedReport

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def account(**told: Any) -> dict[str, Any]:
    """What a run has published."""
    usual = {
        "schema": 1,
        "export": "news.export",
        "verdict": "success",
        "dry_run": False,
        "refused": False,
        "finished_at": NOON.isoformat(),
        "counts": {"created": 3},
        "segments": [{"name": "VIP"}],
    }
    return {**usual, **told}


def run(run_id: str, state: str = "success") -> DagRunRow:
    """A run of a minute."""
    return DagRunRow("news", run_id, state, NOON, NOON, NOON + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("value", "exports"),
    [
        (account(), ["news.export"]),
        ([account(), account(export="other.export")], ["news.export", "other.export"]),
        (json.dumps(account()), ["news.export"]),
        ("s3://bucket/of/a/backend", []),
        ("[" * 100_000, []),
        (None, []),
        ({"schema": 2, "export": "of a later release"}, []),
        ([1, "two", None], []),
        (account(schema=True), []),
        (account(export=["news"]), []),
        (account(audience={"name": {"first": "x"}}), []),
        (account(counts="lots"), []),
        (account(counts={"created": "3"}), []),
        (account(counts=None), ["news.export"]),
        (account(segments={"VIP": 3}), []),
        (account(connection_id=7), []),
        (account(problem="it failed"), []),
        (account(problem={"message": "it failed", "allow": {"removals": [1]}}), []),
        (
            account(problem=None, rejects_by_reason={"of_a_later_release": 1}, verdict="unheard of"),
            ["news.export"],
        ),
        (account(rejects_by_reason=["reason"]), []),
        (account(finished_at=5), []),
        (account(of_a_later_release={"any": "thing"}), ["news.export"]),
    ],
)
def test_what_is_no_account_is_left_out(value: Any, exports: list[str]) -> None:
    """An XCom may hold one account, several, or anything that another backend or another DAG has put there."""
    assert [found["export"] for found in accounts_in(value)] == exports


@pytest.mark.parametrize(
    ("state", "told", "outcome"),
    [
        ("success", {}, "success"),
        ("success", {"verdict": "partial"}, "partial"),
        ("failed", {"verdict": "failed"}, "failed"),
        ("failed", {"verdict": "failed", "refused": True}, "refused"),
        ("success", {"dry_run": True}, "dry_run"),
        ("success", {"dry_run": True, "verdict": "partial"}, "dry_run"),
        ("failed", {"dry_run": True, "verdict": "failed"}, "failed"),
        ("failed", {"dry_run": True}, "failed"),
        ("running", {}, "running"),
        ("success", None, "unknown"),
        ("failed", None, "failed"),
    ],
)
def test_outcomes(state: str, told: dict[str, Any] | None, outcome: str) -> None:
    """The account says how a run ended; Airflow says so where there is none, or it has not ended."""
    assert outcome_of(state, None if told is None else account(**told)) == outcome


def test_each_export_of_a_dag_has_a_row_with_all_runs() -> None:
    """A run in which one of them told nothing is shown, without figures."""
    told = {"2": [account(), account(export="other.export")], "1": [account(verdict="partial")]}
    rows = rows_of_dag([run("2"), run("1")], told)
    assert [row["export"] for row in rows] == ["news.export", "other.export"]
    assert [(shown["run_id"], shown["outcome"]) for shown in rows[0]["runs"]] == [
        ("2", "success"),
        ("1", "partial"),
    ]
    assert [shown["outcome"] for shown in rows[1]["runs"]] == ["success", "unknown"]
    assert "counts" not in rows[1]["runs"][1]


def test_what_was_told_last_counts() -> None:
    """The report takes the place of what the export told before it, whichever is read first."""
    late = (NOON + timedelta(hours=1)).isoformat()
    told = [account(finished_at=late, counts={"created": 5}), account()]
    for order in (told, told[::-1]):
        (row,) = rows_of_dag([run("1")], {"1": order})
        assert row["runs"][0]["counts"] == {"created": 5}


def test_a_run_that_is_tried_again_shows_nothing_of_before() -> None:
    """While it runs, what an earlier try has told says nothing."""
    (row,) = rows_of_dag([run("1", "running")], {"1": [account(verdict="failed")]})
    assert row["runs"][0]["outcome"] == "running"
    assert "counts" not in row["runs"][0]


def test_a_report_that_was_handed_no_run_hides_nothing() -> None:
    """It knows no name: what the export itself said counts, in this run and in the list of exports."""
    refused, nameless = account(verdict="failed", refused=True), account(export="", verdict="failed")
    told = {"2": [refused, nameless], "1": [nameless]}
    (row,) = rows_of_dag([run("2", "failed"), run("1", "failed")], told)
    assert row["export"] == "news.export"
    assert [shown["outcome"] for shown in row["runs"]] == ["refused", "failed"]
    (alone,) = rows_of_dag([run("1", "failed")], told)
    assert (alone["export"], alone["runs"][0]["outcome"]) == ("", "failed")


def test_a_preview_is_no_account_of_the_run_that_failed_after_it() -> None:
    """Nobody answered, or the worker was lost: what the preview counted is not what the run came to."""
    (row,) = rows_of_dag([run("1", "failed")], {"1": [account(dry_run=True)]})
    assert row["runs"][0]["outcome"] == "failed"
    assert "counts" not in row["runs"][0]


def test_a_dry_run_is_told_from_a_preview_where_its_release_does_so() -> None:
    """A dry run that was accounted for is one, also where another task of its run failed after it."""
    told = {"1": [account(dry_run=True, preview=True)], "2": [account(dry_run=True, preview=False)]}
    (row,) = rows_of_dag([run("1", "failed"), run("2", "failed")], told)
    assert [(shown["outcome"], "counts" in shown) for shown in row["runs"]] == [
        ("failed", False),
        ("dry_run", True),
    ]


def test_a_dag_without_accounts_has_one_row() -> None:
    """So that an export that has not run yet can be seen, and run."""
    assert rows_of_dag([], {}) == [{"export": "", "runs": []}]


def test_the_list_shows_less_than_the_page_of_an_export() -> None:
    """Segments are told only where they are asked for."""
    (short,), (long,) = (
        rows_of_dag([run("1")], {"1": [account()]}, further) for further in ((), ("segments",))
    )
    assert "segments" not in short["runs"][0]
    assert long["runs"][0]["segments"] == [{"name": "VIP"}]


def test_whatever_is_published_is_an_account() -> None:
    """Each value of the published model is of the kind that is asked for."""
    told = {
        "schema": 1, "export": "a", "run_id": "r", "dag_id": "d", "finished_at": NOON.isoformat(), "verdict": "partial",
        "counts": dict.fromkeys(PublishedCounts.model_fields, 1),
        "problem": {
            "kind": "outcome", "message": "m", "remedy": "r",
            "allow": {"param": "max_removal_ratio", "value": 0.5, "removals": [{"tag": "", "removed": 1, "owned": 2}]},
        },
        "segments": [{"name": "VIP", "rows": 1, "members": 1, "joined": 1, "left": 0}],
        "sample_rejects": [
            {
                "segments": ["VIP"], "source": "a:1", "field": "", "reason": "missing_address", "mailchimp_says": "",
                "remedy": "",
            }
        ],
        "warnings": [{"field": "FNAME", "kind": "not_a_number", "count": 1, "examples": ["a:1"], "remedy": ""}],
    }  # fmt: skip
    published = PublishedReport.model_validate(told).model_dump(mode="json", by_alias=True)
    assert accounts_in(published) == [published]
    assert set(KINDS) <= set(published)


def test_both_ends_look_at_the_same_keys() -> None:
    """What the list takes for an account is one to the page of the run, and the other way round."""
    script = (Path(__file__).parents[3] / "web" / "src" / "foreign.ts").read_text(encoding="utf-8")
    named = script.partition("const account = parts({")[2].partition("\n});")[0]
    while (flat := re.sub(r"\([^()]*\)", "", named)) != named:
        named = flat
    assert set(re.findall(r"(\w+): ", named)) == set(KINDS)
