"""Exports that must not go ahead: they fail at once, say what to fix, and send nothing."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.mailchimp.pace import Pace
from tests.airflow.people import crowd, write_listed, write_segments
from tests.airflow.runs import Failures, member_rows, one_task, report_of, result, states
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PEOPLE = {"VIP": crowd("vip", 30), "Newsletter": crowd("reader", 20)}
CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"


def why_failed(run_dag: RunDag, dag: DAG, failures: Failures) -> BaseException:
    """Run a DAG whose only task must fail without being tried again, and return its exception."""
    assert states(run_dag(dag)) == {"export": "failed"}
    assert failures.retried == []
    (failure,) = failures
    return failure


@pytest.mark.parametrize("delivery", ["batch", "direct"])
@pytest.mark.parametrize(
    ("settings", "extra", "told"),
    [
        ({"audience_id": "0000000000"}, {}, ["404", "Check the audience id"]),
        ({}, {"audience_id": None}, ["audience_id", "connection 'mailchimp_default'", "Settings"]),
        ({}, {"data_privacy_consent": False}, ["data_privacy_consent", "switches it on"]),
        ({}, {"allowed_dags": ["billing_*", "crm"]}, ["allowed_dags", "Add it there"]),
        ({"options": {"max_profiles": 49}}, {}, ["max_profiles is 49", "50 profiles", "Raise max_profiles"]),
        ({}, {"contact_limit": 53}, ["contact_limit of 53", "4 contacts", "50 would be new"]),
        ({"field_map": {"EMAIL": "email", "FNME": "first_name"}}, {}, ["FNME", "FNAME"]),
        ({"field_map": {"FNAME": "first_name"}}, {}, ["EMAIL", "column"]),
        ({"options": {"max_profile": 9}}, {}, ["max_profile", "max_profiles"]),
        ({"delivery": "pigeon"}, {}, ["delivery", "batch", "direct"]),
        (
            {"segments": "{{ {'VIP': 'vip.csv'} }}"},
            {},
            ["segments", "JSON", "{{ macros.json.dumps(params.segments) }}"],
        ),
        ({"audience_id": "../lists"}, {}, ["audience_id must be an audience id such as a1b2c3d4e5"]),
        ({"export_name": 7}, {}, ["export_name must be one line of text", "a whole number"]),
        ({"segments": {}}, {}, ["segments is empty"]),
        ({"export_name": " "}, {}, ["export_name is empty"]),
        ({}, {"max_connections": 11}, ["Most connections (max_connections)", "10"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_wrong_set_up_fails_at_once_and_sends_nothing(
    settings: dict[str, Any],
    extra: dict[str, Any],
    told: list[str],
    delivery: str,
    sandbox: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What retrying cannot heal fails the task at its first try, naming field and remedy; no one is sent."""
    sandbox.load(write_listed(tmp_path / "listed.csv"))
    monkeypatch.setenv(CONNECTION, json.dumps(sandbox.connection(**extra)))
    failures = Failures()
    given = {"segments": write_segments(tmp_path, PEOPLE), "delivery": delivery, **settings}
    message = str(why_failed(run_dag, one_task(**given, **failures.settings), failures))
    assert [words for words in told if words not in message] == []
    assert sandbox.key not in message
    assert member_rows(sandbox) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("4120358967", "/lists/4120358967"),
        ("0000000000", "/lists/0"),
        ("12345e6789", "audience_id must be text, for as a number it has lost what it was: put it in quotes"),
        ("1234e56789", "audience_id must be text, for as a number it has lost what it was: put it in quotes"),
    ],
)
def test_audience_ids_that_native_rendering_made_numbers(
    given: str, told: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A whole number is the id that it was; any other is refused, and none falls back on the connection's."""
    failures = Failures()
    dag = one_task(
        dag={"render_template_as_native_obj": True},
        segments=write_segments(tmp_path, PEOPLE),
        audience_id=given,
        **failures.settings,
    )
    assert told in str(why_failed(run_dag, dag, failures))
    assert member_rows(mailchimp) == 0


def test_a_refused_key_fails_at_once(
    sandbox: Sandbox, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that Mailchimp does not know fails the task at its first try and says what to do."""
    key = f"{'a' * 32}-us0"
    monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "password": key}))
    failures = Failures()
    message = str(why_failed(run_dag, one_task(segments={"VIP": "vip.csv"}, **failures.settings), failures))
    assert "401" in message
    assert "Put a valid API key" in message
    assert key.partition("-")[0] not in message


def test_a_read_only_key_fails_at_once(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A viewer's key fails the task at its first try and says which role is needed."""
    mailchimp.change(role="viewer")
    failures = Failures()
    dag = one_task(segments=write_segments(tmp_path, PEOPLE), delivery="direct", **failures.settings)
    assert "manager or above" in str(why_failed(run_dag, dag, failures))
    assert mailchimp.members() == []


def test_a_source_that_cannot_be_read_is_tried_again(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A missing column is named with its segment and what there is; Airflow retries, as it may be mended."""
    failures = Failures()
    segments = write_segments(tmp_path, PEOPLE)
    field_map = {"EMAIL": "email", "FNAME": "forename"}
    run = run_dag(one_task(segments=segments, field_map=field_map, **failures.settings))
    assert states(run) == {"export": "failed"}
    assert len(failures.retried) == 1
    for words in ("VIP", "forename", "first_name"):
        assert words in str(failures[0])
    assert member_rows(mailchimp) == 0


def test_too_many_rejects_fail_before_anyone_is_sent(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Where most addresses are wrong, the field map is: nothing is sent and rejects.csv lists them."""
    failures = Failures()
    dag = one_task(
        segments=write_segments(tmp_path, PEOPLE),
        field_map={"EMAIL": "first_name"},
        exports_root=str(tmp_path / "kept"),
        **failures.settings,
    )
    assert "max_reject_ratio" in str(why_failed(run_dag, dag, failures))
    assert member_rows(mailchimp) == 0
    (report,) = (tmp_path / "kept").glob("*/*/report.json")
    account = report_of(str(report.parent))
    assert account["verdict"] == "failed"
    assert account["counts"]["rows_read"] == 50
    _assert_adds_up(account["counts"])


def test_consent_that_is_withdrawn_stops_a_running_export(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched off while profiles leave, consent ends the export with the very next call."""
    withdrawn = json.dumps(mailchimp.connection(data_privacy_consent=False, max_connections=1))
    monkeypatch.setenv(CONNECTION, json.dumps(mailchimp.connection(max_connections=1)))
    mailchimp.change(latency_per_member=3600)

    def withdraw() -> None:
        wait_until(lambda: mailchimp.stats()["member_rows"]["received"], "the first call with profiles")
        monkeypatch.setenv(CONNECTION, withdrawn)
        mailchimp.change(latency_per_member=0)

    failures = Failures()
    dag = one_task(
        segments=write_segments(tmp_path, {"VIP": crowd("vip", 10_000)}),
        delivery="direct",
        exports_root=str(tmp_path / "kept"),
        **failures.settings,
    )
    withdrawal = threading.Thread(target=withdraw)
    withdrawal.start()
    message = str(why_failed(run_dag, dag, failures))
    withdrawal.join()
    assert "data_privacy_consent" in message
    assert mailchimp.stats()["member_rows"]["handled"] == 500
    (report,) = (tmp_path / "kept").glob("*/*/report.json")
    account = report_of(str(report.parent))
    assert account["verdict"] == "failed"
    assert account["counts"]["created"] == len(mailchimp.members()) > 0
    _assert_adds_up(account["counts"])


def test_an_unreachable_mailchimp_is_tried_again(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Mailchimp is away the task fails and is tried again; the second try succeeds."""
    from airflow_mailchimp_export import hooks

    impatient = partial(hooks.to_client, pace=Pace(attempts=2, first_pause=0.01))
    monkeypatch.setattr(hooks, "to_client", impatient)
    mailchimp.change(fault_rate=1.0, faults="unavailable")
    failures = Failures()
    settings = {
        **failures.settings,
        "on_retry_callback": lambda context: (
            failures.retried.append(context["exception"]) or mailchimp.change(fault_rate=0.0)
        ),
    }
    run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), delivery="direct", **settings))
    assert states(run) == {"export": "success"}
    assert "503" in str(failures.retried[0])
    assert result(run)["counts"]["created"] == 50


def _assert_adds_up(counts: dict[str, int]) -> None:
    outcomes = ("merged", "rejected", "suppressed", "unchanged", "created", "updated", "unconfirmed")
    assert counts["rows_read"] == sum(counts[name] for name in outcomes)
