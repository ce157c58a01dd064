"""The sensor, and the report that follows it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.delivery import watch
from airflow_mailchimp_export.mailchimp.pace import Pace
from tests.airflow.people import crowd, write_segments
from tests.airflow.runs import (
    Failures,
    batches,
    context_of,
    new_dag,
    report_of,
    result,
    states,
    submit,
    three_tasks,
    wait_until_stuck,
    xcoms,
)
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from airflow_mailchimp_export.sensors import MailchimpBatchSensor
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PEOPLE = {"VIP": crowd("vip", 30)}
LOOKS = "GET /batches/{batch_id}"


@pytest.fixture
def batch_ids(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> list[str]:
    """Two batches that Mailchimp never finishes."""
    mailchimp.change(batch_stuck=-1)
    segments = write_segments(tmp_path, PEOPLE)
    roots = (str(tmp_path / name) for name in ("first", "second"))
    return [batch_id for root in roots for batch_id in submit(segments, exports_root=root)["batch_ids"]]


@pytest.fixture
def not_begun(mailchimp: Sandbox, request: pytest.FixtureRequest) -> list[str]:
    """Two batches that Mailchimp does not begin with."""
    mailchimp.change(batch_pending=3600.0)
    never_begun: list[str] = request.getfixturevalue("batch_ids")
    return never_begun


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
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

    sensor = make_sensor(batch_ids, deferrable=True, timeout=600, stall_timeout=timedelta(minutes=3))
    context = context_of(sensor)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    assert looks(mailchimp) == len(batch_ids) == 2
    assert timedelta(seconds=600) < deferred.value.timeout < timedelta(seconds=661)
    assert deferred.value.method_name == "execute_complete"
    trigger = deferred.value.trigger
    assert isinstance(trigger, MailchimpBatchTrigger)
    assert trigger.end == context["ti"].start_date.timestamp() + 600
    assert (trigger.batch_ids, trigger.stall_timeout) == (batch_ids, 180.0)
    assert trigger.mailchimp_conn_id == "mailchimp_default"


def test_finished_batches_need_no_deferral(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Where all batches are finished at the first look, a deferrable sensor passes without the triggerer."""
    mailchimp.change(batch_stuck=0)
    wait_until_finished(mailchimp)
    assert make_sensor(batch_ids, deferrable=True).execute({}) is None


@pytest.mark.parametrize("status", ["", "canceled"], ids=["gone", "canceled"])
def test_stopped_batches_fail_the_sensor(status: str, mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Batches that somebody stopped fail the sensor for good: it names them and says what becomes of the rest."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    mailchimp.change(batch_stopped_status=status)
    mailchimp.control("batches/stop", {})
    with pytest.raises(AirflowFailException) as failed:
        make_sensor(batch_ids).poke({})
    assert all(f"{batch_id} ({status or 'gone'})" in str(failed.value) for batch_id in batch_ids)
    assert "the next run sends the rest again" in str(failed.value)


def test_batches_that_are_under_way_are_waited_for_before(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """A stopped batch fails the sensor once the others are over, so that the report comes after those."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    stopped, under_way = batch_ids
    mailchimp.control("batches/stop", {"batches": [stopped]})
    sensor = make_sensor(batch_ids)
    assert sensor.poke({}) is False
    mailchimp.change(batch_stuck=0)
    wait_until_finished(mailchimp)
    with pytest.raises(AirflowFailException, match=stopped) as failed:
        sensor.poke({})
    assert under_way not in str(failed.value)


def test_batches_of_another_account_fail_the_sensor(mailchimp: Sandbox) -> None:
    """Batches that Mailchimp never knew are not taken for finished ones."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match=r"0123456789 \(gone\)\..*belong to another account"):
        make_sensor(["0123456789"]).poke({})


@pytest.mark.parametrize("deferrable", [False, True])
def test_report_accounts_for_batches_that_were_stopped(
    deferrable: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Where somebody stops the batches, the sensor fails without a retry and the report counts the unconfirmed."""
    mailchimp.change(batch_stuck=-1)
    failures = Failures()
    sensor = {"deferrable": deferrable, **failures.settings}
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(stop_after, mailchimp, 2)
        run = run_dag(three_tasks(segments=write_segments(tmp_path, PEOPLE), sensor=sensor))
    assert states(run) == {"export": "success", "wait": "failed", "report": "failed"}
    assert failures.retried == []
    assert "Mailchimp will not finish these batches" in str(failures[0])
    assert report_of(result(run)["run_uri"])["counts"]["unconfirmed"] == 30


@pytest.mark.parametrize(
    "given", ["{batch_ids}", "{json}", "[{batch_ids}]"], ids=["a list of Python", "JSON", "a list of lists"]
)
def test_batch_ids_may_be_text(given: str, mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """A list that a template made into text, of JSON or of Python, is the list."""
    sensor = make_sensor(given.format(batch_ids=batch_ids, json=json.dumps(batch_ids)))
    assert sensor.poke({}) is False
    assert looks(mailchimp) == 2
    assert sensor.batch_ids == batch_ids


@pytest.mark.parametrize("given", ["0123456789", "[0123456789", ["0123456789", 5], [["0123456789"], None]])
def test_what_is_no_list_of_batches_is_refused(given: object, mailchimp: Sandbox) -> None:
    """Any other value is not taken for batches that are over."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException, match="batch_ids must be"):
        make_sensor(given).poke({})
    assert mailchimp.stats()["requests"] == {}


def test_resumed_sensor_takes_a_good_event() -> None:
    """An event that says finished, about these batches in whatever order, lets the sensor pass."""
    assert make_sensor(["a", "b"]).execute_complete({}, event(["b", "a"])) is None


@pytest.mark.parametrize(
    "changed",
    [
        None,
        {"status": "done"},
        {"batch_ids": ["0123456789"]},
        {"batch_ids": []},
        {"status": "error", "message": "AirflowNotFoundException"},
    ],
    ids=["none", "unknown", "about another batch", "about no batch", "an error"],
)
def test_a_hiccup_of_the_triggerer_does_not_end_the_wait(
    changed: dict[str, Any] | None, mailchimp: Sandbox, batch_ids: list[str]
) -> None:
    """After such an event the sensor looks itself and is deferred again, for a minute at least; nothing is stopped."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    sensor = make_sensor(batch_ids, deferrable=True, timeout=600)
    context = context_of(sensor)
    told = changed and {**event(batch_ids), **changed}
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete(context, told)
    assert looks(mailchimp) == 2
    assert deferred.value.trigger.pause == watch.LONGEST_PAUSE
    assert deferred.value.trigger.end == context["ti"].start_date.timestamp() + 600
    assert "DELETE /batches/{batch_id}" not in mailchimp.stats()["requests"]


def test_a_resumed_sensor_passes_where_all_is_over(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Batches that are finished by the time the sensor looks itself need no further deferral."""
    mailchimp.change(batch_stuck=0)
    wait_until_finished(mailchimp)
    sensor = make_sensor(batch_ids, deferrable=True)
    assert sensor.execute_complete(context_of(sensor), event(batch_ids, status="error")) is None


def test_standing_still_counts_on_from_trigger_to_trigger(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Hiccups do not make a wait endless: without progress it ends at stall_timeout, however often it is deferred."""
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred

    wait_until_stuck(mailchimp)
    sensor = make_sensor(batch_ids, deferrable=True, stall_timeout=600)
    context = context_of(sensor)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    record = deferred.value.trigger.record
    record["moved_at"] -= 599
    with pytest.raises(TaskDeferred) as again:
        sensor.execute_complete(context, event(batch_ids, status="error", record=record))
    assert again.value.trigger.record == record
    record["moved_at"] -= 1
    with pytest.raises(AirflowSensorTimeout, match="600 s"):
        sensor.execute_complete(context, event(batch_ids, status="error", record=record))


@pytest.mark.parametrize(
    ("limit", "error"),
    [(None, "AirflowSensorTimeout"), (601, "AirflowSensorTimeout"), (600, "AirflowTaskTimeout")],
)
def test_the_earlier_limit_ends_a_deferred_sensor(limit: int | None, error: str) -> None:
    """Its timeout ends a sensor for good; an execution_timeout that is shorter does as it does in a worker."""
    from airflow.providers.common.compat import sdk

    span = timedelta(seconds=limit) if limit else None
    sensor = make_sensor(["a"], deferrable=True, timeout=600, execution_timeout=span)
    with pytest.raises(getattr(sdk, error), match=r"execution_timeout|timeout"):
        sensor.execute_complete(context_of(sensor), event(["a"], status="timed_out"))


def test_execution_timeout_ends_a_deferred_sensor(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """While it is deferred execution_timeout runs on; then its batches are called off, and retries apply."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    mailchimp.change(batch_pending=3600.0)
    failures = Failures()
    sensor = {"execution_timeout": timedelta(seconds=2), **failures.settings}
    run = run_dag(three_tasks(segments=write_segments(tmp_path, PEOPLE), deferrable=True, sensor=sensor))
    assert states(run) == {"export": "success", "wait": "failed", "report": "failed"}
    assert [type(failure) for failure in failures.retried] == [AirflowTaskTimeout]
    assert mailchimp.stats()["requests"]["DELETE /batches/{batch_id}"] == {"204": 1}


@pytest.mark.parametrize(
    ("error", "ends"), [("Trigger timeout", True), ("Trigger failure", False)], ids=["timeout", "failure"]
)
def test_what_airflow_ends_is_taken_over(
    error: str, ends: bool, mailchimp: Sandbox, batch_ids: list[str]
) -> None:
    """A trigger that died without an event is a hiccup; a deferral that no triggerer has ended is over."""
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred

    sensor = make_sensor(batch_ids, deferrable=True)
    with pytest.raises(AirflowSensorTimeout if ends else TaskDeferred):
        sensor.resume_execution("__fail__", {"error": error}, context_of(sensor))


@pytest.mark.usefixtures("mailchimp")
def test_an_outage_does_not_end_the_poking(
    batch_ids: list[str], mailchimp: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Mailchimp is out of reach there is no news, and a sensor in a worker waits on too."""
    from airflow_mailchimp_export import hooks

    monkeypatch.setattr(hooks, "PROMPT", Pace(attempts=1))
    mailchimp.control("faults", {"method": "GET", "path": "/batches/*", "answer": "unavailable"})
    sensor = make_sensor(batch_ids)
    assert sensor.poke({}) is False
    assert looks(mailchimp) == 0
    assert sensor.poke({}) is False
    assert looks(mailchimp) == 2


def test_resumed_sensor_gives_up_when_nothing_moved() -> None:
    """A stalled event is a sensor's timeout, which Airflow does not retry and soft_fail turns into a skip."""
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    with pytest.raises(AirflowSensorTimeout, match="600 s"):
        make_sensor(["a"], stall_timeout=600).execute_complete({}, event(["a"], status="stalled"))


@pytest.mark.usefixtures("mailchimp")
def test_poking_gives_up_when_nothing_moves(batch_ids: list[str]) -> None:
    """Without any progress for stall_timeout, poking ends in a timeout that says what comes next."""
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout

    sensor = make_sensor(batch_ids, stall_timeout=0.3, poke_interval=0.1)
    with pytest.raises(AirflowSensorTimeout, match="next run sends it again"):
        sensor.execute({})


@pytest.mark.usefixtures("batch_ids")
def test_a_refused_key_is_not_retried(mailchimp: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that Mailchimp does not know fails the sensor for good."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    wrong = {**mailchimp.connection(), "password": f"{'a' * 32}-us0"}
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(wrong))
    with pytest.raises(AirflowFailException, match="401"):
        make_sensor(["0123456789"]).poke({})


def test_a_killed_sensor_cancels_the_batches(mailchimp: Sandbox, not_begun: list[str]) -> None:
    """Batches that a killed sensor waits for are called off, and those that are over are left alone."""
    make_sensor([*not_begun, "0123456789"]).on_kill()
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


def stop_after(sandbox: Sandbox, times: int) -> None:
    """Stop the sandbox's batches, as another user might, once they were looked at so many times."""
    wait_until(lambda: looks(sandbox) >= times, "looks at the batches")
    sandbox.control("batches/stop", {})


def wait_until_finished(sandbox: Sandbox) -> None:
    """Wait for the sandbox's batches."""
    wait_until(
        lambda: all(batch["status"] == "finished" for batch in batches(sandbox)), "the end of all batches"
    )
