"""The sensor, and the report that follows it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.delivery import watch
from airflow_mailchimp_export.errors import RetryableError
from tests.airflow.people import crowd, write_segments
from tests.airflow.runs import (
    Failures,
    batches,
    new_dag,
    report_of,
    result,
    states,
    submit,
    three_tasks,
    xcoms,
)
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from airflow_mailchimp_export.sensors import MailchimpBatchSensor
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PEOPLE = {"VIP": crowd("vip", 30)}
LOOKS = "GET /batches/{batch_id}"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first look at a batch be followed by the next at once."""
    monkeypatch.setattr(watch, "FIRST_PAUSE", 0.05)


@pytest.fixture
def batch_ids(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> list[str]:
    """Two batches that Mailchimp never finishes."""
    mailchimp.change(batch_stuck=-1)
    segments = write_segments(tmp_path, PEOPLE)
    return [batch_id for _ in range(2) for batch_id in submit(segments)["batch_ids"]]


def make_sensor(batch_ids: Any, **settings: Any) -> MailchimpBatchSensor:
    """Make a sensor in a DAG of its own."""
    from airflow_mailchimp_export.sensors import MailchimpBatchSensor

    with new_dag():
        return MailchimpBatchSensor(task_id="wait", batch_ids=batch_ids, **settings)


def looks(sandbox: Sandbox) -> int:
    """Count how often Mailchimp was asked for a batch."""
    return sum(sandbox.stats()["requests"].get(LOOKS, {}).values())


def event(batch_ids: list[str], **changed: Any) -> dict[str, Any]:
    """Make an event as the trigger sends it."""
    return {"status": "finished", "batch_ids": batch_ids, "message": "", "run_uri": "", **changed}


@pytest.mark.parametrize("deferrable", [False, True])
def test_no_batches_are_nothing_to_wait_for(deferrable: bool, mailchimp: Sandbox) -> None:
    """Without batch ids, as after direct delivery, the sensor passes at once and calls nobody."""
    assert make_sensor([], deferrable=deferrable).execute({}) is None
    assert mailchimp.stats()["requests"] == {}


def test_sensor_looks_once_before_it_defers(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """It asks for every batch once; only then it defers, with one trigger for all batches and its timeout."""
    from airflow.sdk.exceptions import TaskDeferred

    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

    sensor = make_sensor(batch_ids, deferrable=True, timeout=600, stall_timeout=timedelta(minutes=3))
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    assert looks(mailchimp) == len(batch_ids) == 2
    assert deferred.value.timeout == timedelta(seconds=600)
    assert deferred.value.method_name == "execute_complete"
    trigger = deferred.value.trigger
    assert isinstance(trigger, MailchimpBatchTrigger)
    assert (trigger.batch_ids, trigger.stall_timeout) == (batch_ids, 180.0)
    assert trigger.mailchimp_conn_id == "mailchimp_default"


def test_finished_batches_need_no_deferral(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Where all batches are finished at the first look, a deferrable sensor passes without the triggerer."""
    mailchimp.change(batch_stuck=0)
    wait_until_finished(mailchimp)
    assert make_sensor(batch_ids, deferrable=True).execute({}) is None


def test_forgotten_batches_are_over(mailchimp: Sandbox) -> None:
    """A batch that Mailchimp does not know any more is not waited for."""
    assert make_sensor(["0123456789"]).poke({}) is True


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("['0123456789']", r"batch_ids must be JSON where it begins with { or \["),
        ("0123456789", "batch_ids must be a list of ids, or of such lists"),
        (["0123456789", 5], "batch_ids must be a list of ids, or of such lists"),
        ([["0123456789"], None], "batch_ids must be a list of ids, or of such lists"),
    ],
)
def test_what_is_no_list_of_batches_is_refused(given: object, words: str, mailchimp: Sandbox) -> None:
    """What a template made into text, or any other value, is not taken for batches that are over."""
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=words):
        make_sensor(given).poke({})
    assert mailchimp.stats()["requests"] == {}


def test_resumed_sensor_takes_a_good_event() -> None:
    """An event that says finished, about these batches in whatever order, lets the sensor pass."""
    assert make_sensor(["a", "b"]).execute_complete({}, event(["b", "a"])) is None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "no event came"),
        ({}, "no event came"),
        ({"status": "done", "batch_ids": ["a", "b"]}, "no event came"),
        (event(["a"]), "other batches"),
        (event(["a", "b", "c"]), "other batches"),
        (event([]), "other batches"),
        (event(["a", "b"], status="error", message="Mailchimp is away"), "Mailchimp is away"),
    ],
)
def test_resumed_sensor_distrusts_its_event(told: dict[str, Any] | None, words: str) -> None:
    """No event, an unknown one, one about other batches, or an error fails the try, and is retried."""
    with pytest.raises(RetryableError, match=words):
        make_sensor(["a", "b"]).execute_complete({}, told)


def test_resumed_sensor_gives_up_when_nothing_moved() -> None:
    """A stalled event is a sensor's timeout, which Airflow does not retry and soft_fail turns into a skip."""
    from airflow.sdk.exceptions import AirflowSensorTimeout

    with pytest.raises(AirflowSensorTimeout, match="600 s"):
        make_sensor(["a"], stall_timeout=600).execute_complete({}, event(["a"], status="stalled"))


@pytest.mark.usefixtures("mailchimp")
def test_poking_gives_up_when_nothing_moves(batch_ids: list[str]) -> None:
    """Without any progress for stall_timeout, poking ends in a timeout that says what comes next."""
    from airflow.sdk.exceptions import AirflowSensorTimeout

    sensor = make_sensor(batch_ids, stall_timeout=0.3, poke_interval=0.1)
    with pytest.raises(AirflowSensorTimeout, match="next run sends it again"):
        sensor.execute({})


@pytest.mark.usefixtures("batch_ids")
def test_a_refused_key_is_not_retried(mailchimp: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that Mailchimp does not know fails the sensor for good."""
    from airflow.sdk.exceptions import AirflowFailException

    wrong = {**mailchimp.connection(), "password": f"{'a' * 32}-us0"}
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(wrong))
    with pytest.raises(AirflowFailException, match="401"):
        make_sensor(["0123456789"]).poke({})


def test_a_killed_sensor_cancels_the_batches(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Batches that a killed sensor waits for are called off, and those that are over are left alone."""
    make_sensor([*batch_ids, "0123456789"]).on_kill()
    assert mailchimp.stats()["requests"]["DELETE /batches/{batch_id}"] == {"204": 2}


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_both_modes_wait_for_the_end(mode: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Poking or rescheduled, the sensor passes once the batch is finished; the report finds all answers."""
    mailchimp.change(batch_stuck=-1)
    sensor = {"mode": mode, "poke_interval": 0.2}
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(finish_after, mailchimp, 3)
        run = run_dag(three_tasks(segments=write_segments(tmp_path, PEOPLE), sensor=sensor))
    assert states(run) == {"export": "success", "wait": "success", "report": "success"}
    assert looks(mailchimp) > 3
    assert result(run, "report")["counts"]["created"] == 30


@pytest.mark.parametrize("deferrable", [False, True])
def test_report_runs_when_the_sensor_gave_up(
    deferrable: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A sensor that gave up fails without a retry; the report counts the members as unconfirmed and fails."""
    mailchimp.change(batch_stuck=-1)
    failures = Failures()
    run = run_dag(
        three_tasks(
            segments=write_segments(tmp_path, PEOPLE),
            deferrable=deferrable,
            sensor={"stall_timeout": 0.3, **failures.settings},
        )
    )
    assert states(run) == {"export": "success", "wait": "failed", "report": "failed"}
    assert failures.retried == []
    account = report_of(result(run)["run_uri"])
    assert account["verdict"] == "failed"
    assert account["counts"]["unconfirmed"] == account["counts"]["rows_read"] == 30


def test_report_is_settled_once(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A second report task tells the same as the first and asks Mailchimp for nothing."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator

    run_uri = result(run_dag(three_tasks(segments=write_segments(tmp_path, PEOPLE))), "report")["run_uri"]
    report = Path(run_uri, "report.json")
    before = report.read_bytes(), report.stat().st_mtime_ns
    asked = mailchimp.stats()["requests"]
    with new_dag() as dag:
        MailchimpExportReportOperator(task_id="report", run_uri=run_uri)
    assert result(run_dag(dag), "report")["counts"]["created"] == 30
    assert (report.read_bytes(), report.stat().st_mtime_ns) == before
    assert mailchimp.stats()["requests"] == asked


@pytest.mark.parametrize(
    ("run_uri", "words"),
    [
        (None, "There is no run to account for"),
        ("", "There is no run to account for"),
        ("{tmp_path}/nowhere", "nowhere"),
    ],
)
def test_report_without_a_run_fails_at_once(
    run_uri: str | None, words: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A report task that was handed no run, or a folder without one, fails at its first try and says so."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator

    failures = Failures()
    given = run_uri and run_uri.format(tmp_path=tmp_path)
    with new_dag() as dag:
        MailchimpExportReportOperator(task_id="report", run_uri=given, **failures.settings)
    assert states(run_dag(dag)) == {"report": "failed"}
    assert failures.retried == []
    assert words in str(failures[0])


def test_failed_verdict_fails_the_report(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Where Mailchimp refuses most of the people, the report fails at once and says where the reasons are."""
    mailchimp.change(fake_domains="brieftaube-post.eu")
    failures = Failures()
    dag = three_tasks(segments=write_segments(tmp_path, PEOPLE))
    for name, value in failures.settings.items():
        setattr(dag.task_dict["report"], name, [value] if name.endswith("callback") else value)
    run = run_dag(dag)
    assert states(run) == {"export": "success", "wait": "success", "report": "failed"}
    assert failures.retried == []
    (told,) = map(str, failures)
    assert "30 rejected" in told
    assert "rejects.csv" in told
    account = report_of(result(run)["run_uri"])
    assert account["verdict"] == "failed"
    assert account["rejects_by_reason"] == {"fake_address": 30}


def test_direct_delivery_is_wired_the_same(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """After direct delivery sensor and report pass without asking Mailchimp for any batch."""
    run = run_dag(three_tasks(segments=write_segments(tmp_path, PEOPLE), delivery="direct", deferrable=True))
    assert set(states(run).values()) == {"success"}
    left = xcoms(run)
    assert left["report", -1, "return_value"] == left["export", -1, "return_value"]
    assert looks(mailchimp) == 0


def finish_after(sandbox: Sandbox, times: int) -> None:
    """Let the sandbox finish its batches once they were looked at so many times."""
    wait_until(lambda: looks(sandbox) >= times, "looks at the batches")
    sandbox.change(batch_stuck=0)


def wait_until_finished(sandbox: Sandbox) -> None:
    """Wait for the sandbox's batches."""
    wait_until(
        lambda: all(batch["status"] == "finished" for batch in batches(sandbox)), "the end of all batches"
    )
