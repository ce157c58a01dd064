"""Several exports in one DAG, by Airflow's dynamic task mapping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.errors import RetryableError
from tests.airflow.people import FIELD_MAP, crowd, row, write_segments
from tests.airflow.runs import (
    Failures,
    batches,
    context_of,
    new_dag,
    report_of,
    result,
    states,
    submit,
    xcoms,
)
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
PEOPLE = {"A": crowd("a", 3), "B": crowd("b", 4), "C": crowd("c", 5)}


def each_alone(folder: Path) -> list[dict[str, Any]]:
    """Return what an export of each segment takes, under a name of its own."""
    files = write_segments(folder, PEOPLE)
    return [
        {"segments": {name: uri}, "export_name": f"only {name}", "exports_root": str(folder / "kept")}
        for name, uri in files.items()
    ]


def one_sensor_and_report(exports: list[dict[str, Any]], *, deferrable: bool = False, **report: Any) -> DAG:
    """Make a DAG with mapped exports, one sensor for the batches of all, and one report of all."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator, SegmentToMailchimpOperator
    from airflow_mailchimp_export.sensors import MailchimpBatchSensor

    with new_dag() as dag:
        export = SegmentToMailchimpOperator.partial(
            task_id="export", field_map=FIELD_MAP, wait_for_completion=False
        ).expand_kwargs(exports)
        wait = MailchimpBatchSensor(
            task_id="wait", batch_ids=export.output["batch_ids"], deferrable=deferrable, poke_interval=0.1
        )
        settings = {"trigger_rule": "all_done", **report}
        wait >> MailchimpExportReportOperator(task_id="report", run_uri=export.output["run_uri"], **settings)
    return dag


def test_mapped_exports_write_a_folder_each(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Mapped over segments and names, every task exports its own and keeps its own report and ledger."""
    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    with new_dag() as dag:
        SegmentToMailchimpOperator.partial(task_id="export", field_map=FIELD_MAP).expand_kwargs(
            each_alone(tmp_path)
        )
    told = [value for (_, _, key), value in xcoms(run_dag(dag)).items() if key == "return_value"]
    reports = [report_of(value["run_uri"]) for value in told]
    assert sorted((*report["segments"], report["counts"]["created"]) for report in reports) == [
        ("A", 3),
        ("B", 4),
        ("C", 5),
    ]
    assert len(mailchimp.members()) == 12
    assert len(list((tmp_path / "kept").glob("*/ledger.parquet"))) == 3


def test_mapped_exports_without_names_are_refused(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Mapped exports that give no export_name fail at once, send nothing, and say what to do."""
    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    failures = Failures()
    with new_dag() as dag:
        SegmentToMailchimpOperator.partial(task_id="export", field_map=FIELD_MAP, **failures.settings).expand(
            segments=[export["segments"] for export in each_alone(tmp_path)]
        )
    assert states(run_dag(dag)) == {"export": "failed"}
    assert failures.retried == []
    assert len(failures) == 3
    for failure in failures:
        assert "needs an export_name of its own" in str(failure)
        assert ".expand_kwargs(" in str(failure)
    assert mailchimp.members() == []


@pytest.mark.parametrize("delivery", ["batch", "direct"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_one_sensor_and_one_report_serve_several_exports(
    deferrable: bool, delivery: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """The sensor waits for the batches of all mapped exports, and the report accounts for every run."""
    exports = [{**export, "delivery": delivery} for export in each_alone(tmp_path)]
    run = run_dag(one_sensor_and_report(exports, deferrable=deferrable))
    assert set(states(run).values()) == {"success"}
    told = result(run, "report")
    assert [(account["export"], account["counts"]["created"]) for account in told] == [
        ("only A", 3),
        ("only B", 4),
        ("only C", 5),
    ]
    assert {account["verdict"] for account in told} == {"success"}
    assert [len(account["batch_ids"]) for account in told] == ([1, 1, 1] if delivery == "batch" else [0] * 3)
    assert len(mailchimp.members()) == 12


def test_report_accounts_for_all_runs_before_it_fails(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Where Mailchimp refused the people of one export, the others are accounted for too, and the task fails."""
    mailchimp.change(fake_domains="inkwell-pigeon.eu")
    exports = each_alone(tmp_path)
    (tmp_path / "fake").mkdir()
    fake = {"B": [row(f"{number}@inkwell-pigeon.eu") for number in range(4)]}
    exports[1]["segments"] = write_segments(tmp_path / "fake", fake)
    failures = Failures()
    run = run_dag(one_sensor_and_report(exports, **failures.settings))
    assert states(run) == {"export": "success", "wait": "success", "report": "failed"}
    assert failures.retried == []
    assert str(failures[0]).startswith("Export only B failed: 4 rejected")
    handed_over = [value for (_, _, key), value in xcoms(run).items() if key == "run_uri"]
    assert sorted(report_of(run_uri)["verdict"] for run_uri in handed_over) == [
        "failed",
        "success",
        "success",
    ]


def test_report_fails_with_an_export_that_handed_nothing_over(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Where one mapped export fails, the runs of the others are accounted for, and the report names the failed one."""
    exports = each_alone(tmp_path)
    exports[1]["segments"] = {"B": str(tmp_path / "nowhere")}
    failures = Failures()
    run = run_dag(one_sensor_and_report(exports, **failures.settings))
    assert states(run)["report"] == "failed"
    assert failures.retried == []
    assert str(failures[0]) == "the task export_1 has failed, see its log"
    handed_over = [value for (_, _, key), value in xcoms(run).items() if key == "run_uri"]
    assert [report_of(run_uri)["verdict"] for run_uri in handed_over] == ["success", "success"]


def test_report_is_tried_again_where_that_may_help(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the place with the connections is away the task is retried, and then tells of all runs."""
    from airflow_mailchimp_export.hooks import MailchimpHook
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator

    run_uris = [submit(export.pop("segments"), **export)["run_uri"] for export in each_alone(tmp_path)]
    wait_until(lambda: {batch["status"] for batch in batches(mailchimp)} == {"finished"})
    failures, settings = Failures(), MailchimpHook.settings

    def away(_: MailchimpHook) -> Any:
        raise ConnectionError("the secrets backend does not answer")

    def bring_back(context: Any) -> None:
        failures.retried.append(context["exception"])
        monkeypatch.setattr(MailchimpHook, "settings", settings)

    monkeypatch.setattr(MailchimpHook, "settings", away)

    with new_dag() as dag:
        MailchimpExportReportOperator(
            task_id="report", run_uri=run_uris, **{**failures.settings, "on_retry_callback": bring_back}
        )
    told = result(run_dag(dag), "report")
    assert [type(error) for error in failures.retried] == [RetryableError]
    assert [account["counts"]["created"] for account in told] == [3, 4, 5]


def test_sensor_defers_once_for_the_batches_of_all(
    mailchimp: Sandbox, airflow_db: None, tmp_path: Path
) -> None:
    """Lists of lists are one list for the trigger, for its event and for calling batches off."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_mailchimp_export.sensors import MailchimpBatchSensor

    mailchimp.change(batch_pending=3600.0)
    segments = write_segments(tmp_path, dict.fromkeys(("A", "B"), PEOPLE["A"]))
    handed_over = [submit({name: uri})["batch_ids"] for name, uri in segments.items()]
    first, second = (batch_id for batch_ids in handed_over for batch_id in batch_ids)
    with new_dag():
        sensor = MailchimpBatchSensor(task_id="wait", batch_ids=[*handed_over, []], deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context_of(sensor))
    assert deferred.value.trigger.batch_ids == [first, second]
    assert sensor.execute_complete({}, {"status": "finished", "batch_ids": [second, first]}) is None
    sensor.on_kill()
    assert batches(mailchimp) == []
