"""The shipped DAGs, run by the scheduler and the triggerer, with a connection in the metastore."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest
import requests

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.published import XCOM_KEY
from airflow_mailchimp_export.sandbox.addresses import is_address
from airflow_mailchimp_export.sandbox.raw import read_rows
from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.airflow.people import Expected, Listed, as_audience
from tests.airflow.runs import batches, report_of
from tests.conftest import AUDIENCE
from tests.integration.conftest import FirstExport
from tests.live_airflow import (
    CAMPAIGN,
    CONNECTION,
    EXPORT,
    HOLDING,
    ONE_TASK,
    PROFILES,
    connection_body,
    returned,
    until,
)

ALL = ["VIP", "Newsletter", "Recent buyers"]


def listed() -> list[Listed]:
    """Read who is in the shipped audience."""
    names = ("email", "status", "fname", "lname", "tags")
    return [
        Listed(
            **{**{name: person[name] for name in names}, "email": person["email"].lower()},
            forgotten=person["forgotten"] == "true",
        )
        for person in read_rows(AUDIENCE)
    ]


def segments() -> dict[str, list[Mapping[str, Any]]]:
    """Form the shipped segments by what their descriptions say."""
    people = pq.read_table(PROFILES).to_pylist()
    newest = max(person["last_purchase"] for person in people if person["last_purchase"])
    since = newest - timedelta(days=90)
    return {
        "VIP": [
            person
            for person in people
            if person["loyalty_tier"] == "platinum" or (person["lifetime_value"] or 0) >= 1000
        ],
        "Newsletter": [person for person in people if person["newsletter_opt_in"]],
        "Recent buyers": [
            person for person in people if person["last_purchase"] and person["last_purchase"] >= since
        ],
    }


def expected_of(names: Sequence[str]) -> Expected:
    """Work out what the audience has to hold after an export of these segments."""
    expected = Expected(listed(), is_address=is_address)
    for name, rows in segments().items():
        if name in names:
            expected.take(name, rows)
    return expected


def standing(audience: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    """Reduce an audience to everyone's status and tags."""
    return {email.lower(): (member["status"], sorted(member["tags"])) for email, member in audience.items()}


def names(audience: Mapping[str, Mapping[str, Any]], emails: Iterable[str]) -> dict[str, Any]:
    """Reduce an audience to the names of some."""
    return {email: audience[email]["merge_fields"].get("FNAME") for email in emails}


def dump(members: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out of a dump of the audience what differs from run to run: times, and the order."""
    without_times = ({**member, "last_changed": "", "tags": sorted(member["tags"])} for member in members)
    return sorted(without_times, key=lambda member: member["hash"])


def test_all_dag_files_are_read(airflow: AirflowStack) -> None:
    """The DAG processor reads every file without an import error, and both shipped DAGs are there."""
    airflow.wait_for_dag(EXPORT)
    assert airflow.call("GET", "/importErrors")["import_errors"] == []
    assert airflow.call("GET", f"/dags/{EXPORT}/details")["max_active_runs"] == 1


def test_command_line_shows_the_provider(airflow: AirflowStack) -> None:
    """``airflow providers get airflow-mailchimp-export`` shows its name and version."""
    shown = airflow.cli("providers", "get", "airflow-mailchimp-export").read_text(encoding="utf-8")
    assert re.search(rf"airflow-mailchimp-export\W+{re.escape(__version__)}\b", shown)


def test_refreshed_segments_start_the_export_by_themselves(first_export: FirstExport) -> None:
    """The refresh's asset triggers the export; its sensor waits in the triggerer, and all tasks succeed."""
    assert first_export.run["run_type"] == "asset_triggered"
    assert first_export.run["state"] == "success"
    tasks = ("choose_refresh", "export", "wait_for_batches", "report")
    assert first_export.tasks == dict.fromkeys(tasks, "success")
    assert first_export.deferred


def test_audience_is_what_the_profiles_say(airflow: AirflowStack, first_export: FirstExport) -> None:
    """Everyone's status and tags, and plain names, are those that the shipped profiles and rules lead to."""
    expected = expected_of(ALL)
    got = as_audience(first_export.members)
    assert standing(got) == standing(expected.audience)
    plain = [
        email
        for email in got.keys() & expected.audience.keys()
        if re.fullmatch(r"\w{1,60}", expected.audience[email]["merge_fields"].get("FNAME", ""))
    ]
    assert len(plain) > 10_000
    assert names(got, plain) == names(expected.audience, plain)
    counts = returned(airflow, EXPORT, first_export.run["dag_run_id"], "report")["counts"]
    for name in ("rows_read", "suppressed", "created", "updated"):
        assert counts[name] == expected.counts[name]
    assert counts["unconfirmed"] == 0


def test_export_by_hand_takes_what_was_chosen(
    airflow: AirflowStack, first_export: FirstExport, audience: Sandbox
) -> None:
    """Triggered with one segment and direct delivery, the DAG exports that segment call by call."""
    run = airflow.run_dag(EXPORT, {"segments": ["VIP"], "delivery": "direct"})
    assert run["state"] == "success"
    assert standing(as_audience(audience.members())) == standing(expected_of(["VIP"]).audience)
    assert returned(airflow, EXPORT, run["dag_run_id"], "report")["batch_ids"] == []
    assert "POST /batches" not in audience.stats()["requests"]


def test_wrong_choices_are_refused(airflow: AirflowStack) -> None:
    """A segment that does not exist is refused when the run is triggered."""
    airflow.wait_for_dag(EXPORT)
    with pytest.raises(requests.HTTPError, match="400"):
        airflow.trigger(EXPORT, {"segments": ["Nobody"]})


def test_one_deferring_task_does_the_same(
    airflow: AirflowStack, first_export: FirstExport, audience: Sandbox
) -> None:
    """One task that defers, resumes in another process and settles leads to the same audience and counts."""
    run = airflow.run_dag(ONE_TASK)
    assert run["state"] == "success"
    assert dump(audience.members()) == dump(first_export.members)
    exclusive = returned(airflow, ONE_TASK, run["dag_run_id"], "export")
    three = returned(airflow, EXPORT, first_export.run["dag_run_id"], "report")
    assert exclusive["counts"] == three["counts"]


@pytest.mark.parametrize("delivery", ["batch", "direct"])
def test_faults_do_not_change_the_outcome(
    delivery: str, airflow: AirflowStack, first_export: FirstExport, audience: Sandbox
) -> None:
    """With a tenth of all calls and operations going wrong in every way, the final audience is the same."""
    audience.change(fault_rate=0.1, batch_operation_fault_rate=0.1, seed=11, fault_delay=0.5)
    run = airflow.run_dag(EXPORT, {"segments": ALL, "delivery": delivery})
    assert run["state"] == "success"
    assert sum(audience.stats()["faults"].values()) > 0
    assert dump(audience.members()) == dump(first_export.members)
    counts = returned(airflow, EXPORT, run["dag_run_id"], "report")["counts"]
    assert counts["unconfirmed"] == 0


def test_ending_the_waiting_task_cancels_the_batch(
    airflow: AirflowStack, first_export: FirstExport, audience: Sandbox
) -> None:
    """Marked failed while it is deferred, the task calls its batch off; the report counts unconfirmed."""
    audience.change(batch_pending=3600.0)
    run_id = airflow.trigger(EXPORT, {"segments": ["VIP"]})
    task = f"/dags/{EXPORT}/dagRuns/{run_id}/taskInstances/wait_for_batches"
    until(lambda: airflow.call("GET", task)["state"] == "deferred")
    # The task looked once; the second look is the triggerer's.
    until(lambda: sum(audience.stats()["requests"]["GET /batches/{batch_id}"].values()) > 1)
    assert len(batches(audience)) == 1
    airflow.call("PATCH", task, {"new_state": "failed"})
    until(lambda: not batches(audience))
    assert airflow.wait_for_run(EXPORT, run_id)["state"] == "failed"
    account = report_of(returned(airflow, EXPORT, run_id, "export")["run_uri"])
    assert account["verdict"] == "failed"
    assert account["counts"]["unconfirmed"] > 1000


def test_a_campaign_starts_once_the_audience_is_in_place(
    airflow: AirflowStack, first_export: FirstExport
) -> None:
    """A DAG that waits for the audience is started by the export that has reached it, and knows what it came to."""
    run_id = first_export.run["dag_run_id"]
    campaigns = f"/dags/{CAMPAIGN}/dagRuns"
    (campaign, *_) = until(lambda: airflow.call("GET", f"{campaigns}?order_by=run_after")["dag_runs"])
    assert airflow.wait_for_run(CAMPAIGN, campaign["dag_run_id"])["state"] == "success"
    told = returned(airflow, CAMPAIGN, campaign["dag_run_id"], "send")
    assert (told["run_id"], told["verdict"]) == (run_id, "partial")
    assert [segment["name"] for segment in told["segments"]] == ALL
    number = len(airflow.call("GET", campaigns)["dag_runs"])
    assert airflow.run_dag(EXPORT, {"segments": ["VIP"], "dry_run": True})["state"] == "success"
    assert len(airflow.call("GET", campaigns)["dag_runs"]) == number


def test_the_page_of_a_task_links_to_the_audience_and_to_the_run(
    airflow: AirflowStack, first_export: FirstExport, sandbox: Sandbox
) -> None:
    """Both tasks that work on the run have the links."""
    run_id = first_export.run["dag_run_id"]
    page = f"{airflow.url}/plugin/mailchimp?{urlencode({'dag_id': EXPORT, 'run_id': run_id})}"
    for task in ("export", "report"):
        found = f"/dags/{EXPORT}/dagRuns/{run_id}/taskInstances/{task}/links"
        assert airflow.call("GET", found)["extra_links"] == {
            "Audience in Mailchimp": f"{sandbox.url}/",
            "Account of the run": page,
        }


def test_a_task_that_somebody_ends_says_so(
    airflow: AirflowStack, first_export: FirstExport, audience: Sandbox
) -> None:
    """Marked failed while it holds its worker, the task calls its batch off, and publishes that it was cancelled."""
    audience.change(batch_pending=3600.0)
    run_id = airflow.trigger(HOLDING)
    task = f"/dags/{HOLDING}/dagRuns/{run_id}/taskInstances/export"
    until(lambda: sum(audience.stats()["requests"].get("GET /batches/{batch_id}", {}).values()) > 0)
    airflow.call("PATCH", task, {"new_state": "failed"})
    until(lambda: not batches(audience), timeout=240)

    def published() -> Any:
        entries = airflow.call("GET", f"{task}/xcomEntries")["xcom_entries"]
        return any(entry["key"] == XCOM_KEY for entry in entries)

    until(published, timeout=240)
    told = airflow.call("GET", f"{task}/xcomEntries/{XCOM_KEY}?deserialize=true")["value"]
    assert (told["verdict"], told["problem"]["kind"]) == ("failed", "cancelled")
    assert told["audience"]["id"] == audience.audience_id


def test_rest_api_tests_the_connection(airflow: AirflowStack, audience: Sandbox) -> None:
    """The test endpoint tells of account and audience, and of a key that Mailchimp does not know."""
    good = airflow.call("POST", "/connections/test", connection_body(audience))
    assert good["status"] is True
    assert good["message"].startswith("Account Sandbox, role admin, plan monthly")
    assert audience.audience_id in good["message"]
    wrong = {**connection_body(audience), "password": f"{'a' * 32}-us0"}
    bad = airflow.call("POST", "/connections/test", wrong)
    assert bad["status"] is False
    assert "401" in bad["message"]
    assert "a" * 32 not in bad["message"]


def test_key_is_shown_to_nobody(airflow: AirflowStack, audience: Sandbox) -> None:
    """The REST API hides the key of the saved connection."""
    saved = airflow.call("GET", f"/connections/{CONNECTION}")
    assert audience.key.partition("-")[0] not in str(saved)


def test_logs_hold_no_address_and_no_key(airflow: AirflowStack, first_export: FirstExport) -> None:
    """All that Airflow has written so far, at DEBUG, names no person of profiles or audience, and no key."""
    people = {
        person["email"].strip().lower() for person in pq.read_table(PROFILES).to_pylist() if person["email"]
    }
    people |= {person.email for person in listed()}
    files = [path for folder in ("logs", "output") for path in (airflow.home / folder).rglob("*.log")]
    written = {path: path.read_text(encoding="utf-8", errors="replace").lower() for path in files}
    assert any("sending: " in text and "debug" in text for text in written.values())
    for path, text in written.items():
        found = set(re.findall(r"[^\s\"'<>(),;:\\]+@[^\s\"'<>(),;:\\]+", text))
        assert not found & people, path.name
        assert "0123456789abcdef0123456789abcdef" not in text, path.name
