"""The operators, run by Airflow's own task runner against the sandbox."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from tests.airflow.people import (
    FIELD_MAP,
    LISTED,
    SEGMENTS,
    as_audience,
    expect,
    row,
    table,
    write_listed,
    write_segments,
)
from tests.airflow.releases import lacks
from tests.airflow.runs import (
    XCOM_KEYS,
    context_of,
    new_dag,
    one_task,
    rendered,
    report_of,
    result,
    states,
    submit,
    three_tasks,
    xcoms,
)
from tests.kit.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]+")
PAIR = {"Pair": [row("one@brieftaube-post.eu", "One"), row("two@brieftaube-post.eu", "Two")]}

deliveries = pytest.mark.parametrize("delivery", ["batch", "direct"])
waits = pytest.mark.parametrize("deferrable", [False, True], ids=["holding a worker", "deferring"])
wirings = pytest.mark.parametrize("wiring", [one_task, three_tasks])


@pytest.fixture
def audience(mailchimp: Sandbox, tmp_path: Path) -> Sandbox:
    """The sandbox with people of every standing in its audience."""
    mailchimp.load(write_listed(tmp_path / "listed.csv"))
    return mailchimp


@deliveries
@waits
@wirings
def test_every_way_leads_to_the_same_audience(
    wiring: Callable[..., DAG],
    deferrable: bool,
    delivery: str,
    audience: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
) -> None:
    """Both deliveries, waiting or deferring, in one task or three, do exactly what the profiles say."""
    expected = expect(SEGMENTS, LISTED)
    run = run_dag(wiring(segments=write_segments(tmp_path), deferrable=deferrable, delivery=delivery))
    assert set(states(run).values()) == {"success"}
    assert as_audience(audience.members()) == expected.audience
    told = result(run, "export" if wiring is one_task else "report")
    assert told["counts"] == expected.counts
    assert told["verdict"] == "partial"
    assert Counts(**told["counts"]).adds_up
    assert report_of(told["run_uri"])["counts"] == expected.counts


@deliveries
def test_people_who_must_not_be_touched_are_as_before(
    delivery: str, audience: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Status, tags, names and time of last change of everyone who may not be written to stay the same."""

    def untouchable() -> list[dict[str, Any]]:
        return [member for member in audience.members() if member["status"] != "subscribed"]

    before = untouchable()
    assert len(before) == 5
    audience.change(clock_shift=3600)
    run_dag(one_task(segments=write_segments(tmp_path), delivery=delivery))
    assert untouchable() == before


@deliveries
@wirings
def test_xcoms_hold_the_pinned_keys_and_no_address(
    wiring: Callable[..., DAG], delivery: str, audience: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A task returns export, run_uri, batch_ids, dry_run, verdict and counts, nothing else, and no person."""
    left = xcoms(run_dag(wiring(segments=write_segments(tmp_path), delivery=delivery)))
    returned = [value for (_, _, key), value in left.items() if key == "return_value"]
    assert returned
    assert all(set(value) == XCOM_KEYS for value in returned)
    assert {key for _, _, key in left} <= XCOM_KEYS | {
        "return_value",
        "mailchimp_report",
        "_link_AudienceLink",
        "_link_AccountLink",
    }
    assert all(bool(value["batch_ids"]) == (delivery == "batch") for value in returned)
    assert not ADDRESS.search(json.dumps(list(left.values())))


def test_multiple_outputs_splits_the_result(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """With multiple_outputs each key of the result is an XCom of its own, beside the whole."""
    left = xcoms(run_dag(one_task(segments=write_segments(tmp_path, PAIR), multiple_outputs=True)))
    whole = left.pop(("export", -1, "return_value"))
    assert {key: value for (_, _, key), value in left.items() if key in XCOM_KEYS} == whole


@pytest.mark.parametrize("kind", ["DataFrame", "Table"])
def test_profiles_in_memory_are_exported_and_never_shown(
    kind: str, mailchimp: Sandbox, run_dag: RunDag
) -> None:
    """A pandas.DataFrame or pyarrow.Table is a segment; no row of it is in what Airflow keeps of the task."""
    from airflow.models.serialized_dag import SerializedDagModel

    profiles = table(PAIR["Pair"])
    dag = one_task(segments={"Pair": profiles.to_pandas() if kind == "DataFrame" else profiles})
    run = run_dag(dag)
    assert as_audience(mailchimp.members()) == expect(PAIR, ()).audience
    kept = rendered(run) + json.dumps(SerializedDagModel.get(dag.dag_id).data)
    assert "Pair" in kept
    assert not ADDRESS.search(kept)


@pytest.mark.parametrize("mapped", [False, True], ids=["single", "mapped"])
def test_profiles_of_an_upstream_task_are_exported_and_never_shown(
    mapped: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A DataFrame that another task returned is a segment too, of a mapped task as well, and stays unseen."""
    from airflow.sdk import task

    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    with new_dag() as dag:

        @task
        def profiles() -> Any:
            return table(PAIR["Pair"]).to_pandas()

        settings: dict[str, Any] = {"field_map": {"EMAIL": "email", "FNAME": "first_name"}}
        segments = {"Pair": profiles()}
        if mapped:
            SegmentToMailchimpOperator.partial(task_id="export", segments=segments, **settings).expand_kwargs(
                [{"export_name": name, "exports_root": str(tmp_path / name)} for name in ("first", "second")]
            )
        else:
            SegmentToMailchimpOperator(task_id="export", segments=segments, **settings)
    run = run_dag(dag)
    assert set(states(run).values()) == {"success"}
    assert as_audience(mailchimp.members()) == expect(PAIR, ()).audience
    assert not ADDRESS.search(rendered(run))


@pytest.mark.parametrize(
    "shown", [pytest.param(True, marks=lacks("log of what tasks return in dag.test()", before=(3, 2))), False]
)
def test_log_of_an_upstream_task_holds_its_profiles_unless_told_not_to(
    shown: bool,
    mailchimp: Sandbox,
    run_dag: RunDag,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Airflow logs what a task returns, people included; show_return_value_in_logs=False keeps them out."""
    from airflow.sdk import task

    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator

    with new_dag() as dag:

        @task(show_return_value_in_logs=shown)
        def profiles() -> Any:
            return table(PAIR["Pair"]).to_pandas()

        SegmentToMailchimpOperator(
            task_id="export", segments={"Pair": profiles()}, field_map={"EMAIL": "email"}
        )
    with caplog.at_level("INFO"):
        assert set(states(run_dag(dag)).values()) == {"success"}
    written = caplog.text + "".join(capfd.readouterr())
    assert "Export export_" in written
    assert bool(ADDRESS.search(written)) is shown


def test_templates_are_rendered(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Jinja works in the audience's id, in URIs of segments, in the delivery and in options."""
    write_segments(tmp_path, PAIR)
    dag = one_task(
        dag={"params": {"audience": mailchimp.audience_id, "folder": str(tmp_path), "most": "2"}},
        segments={"{{ 'ignored' }}": "{{ params.folder }}/Pair.parquet"},
        audience_id="{{ params.audience }}",
        delivery="{{ 'di' }}rect",
        options={"max_profiles": "{{ params.most }}"},
    )
    run = run_dag(dag)
    told = report_of(result(run)["run_uri"])
    assert told["audience_id"] == mailchimp.audience_id
    assert told["delivery"] == "direct"
    assert told["counts"]["created"] == 2


def test_templates_may_give_json_text(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Segments, field map and options may be parameters of the run, and segments keep their order."""
    ada = {name: [row("ada@brieftaube-post.eu", f"Ada of {name}")] for name in ("Second", "First")}
    params = {
        "segments": {name: {"uri": uri} for name, uri in write_segments(tmp_path, ada).items()},
        "field_map": FIELD_MAP,
        "options": {"max_profiles": 2},
    }
    templates = {name: f"{{{{ macros.json.dumps(params.{name}) }}}}" for name in params}
    assert result(run_dag(one_task(dag={"params": params}, **templates)))["counts"]["created"] == 1
    (member,) = mailchimp.members()
    assert member["tags"] == ["First", "Second"]
    assert member["merge_fields"]["FNAME"] == "Ada of Second"


def test_one_template_may_name_all_runs_and_batches(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Sensor and report take JSON text of lists as well."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator
    from airflow_mailchimp_export.sensors import MailchimpBatchSensor

    submitted = submit(write_segments(tmp_path, PAIR))
    params = {"batch_ids": submitted["batch_ids"], "run_uris": [submitted["run_uri"]]}
    with new_dag(params=params) as dag:
        wait = MailchimpBatchSensor(
            task_id="wait", batch_ids="{{ macros.json.dumps(params.batch_ids) }}", poke_interval=0.1
        )
        wait >> MailchimpExportReportOperator(
            task_id="report", run_uri="{{ macros.json.dumps(params.run_uris) }}"
        )
    (told,) = result(run_dag(dag), "report")
    assert told["counts"]["created"] == 2


def test_audience_is_the_connections_where_none_is_named(
    sandbox: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's audience_id outweighs the connection's, which is taken where the operator has none."""
    segments = write_segments(tmp_path, PAIR)
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", json.dumps(sandbox.connection(export_user="Ann")))
    told = report_of(
        result(run_dag(one_task(segments=segments, exports_root=str(tmp_path / "first"))))["run_uri"]
    )
    assert (told["audience_id"], told["export_user"]) == (sandbox.audience_id, "Ann")
    elsewhere = json.dumps(sandbox.connection(audience_id="0000000000"))
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", elsewhere)
    named = run_dag(
        one_task(segments=segments, audience_id=sandbox.audience_id, exports_root=str(tmp_path / "named"))
    )
    assert report_of(result(named)["run_uri"])["audience_id"] == sandbox.audience_id


def test_every_run_has_a_folder_of_its_own(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """Runs of one export lie side by side under its name, readable by their owner alone."""
    settings = {"segments": write_segments(tmp_path, PAIR), "exports_root": str(tmp_path / "kept")}
    for _ in range(2):
        run_dag(one_task(export_name="Weekly / all", **settings))
    (export,) = (tmp_path / "kept").iterdir()
    runs = list(export.glob("*/report.json"))
    assert len(runs) == 2
    assert {path.stat().st_mode & 0o077 for path in export.rglob("*")} == {0}


@deliveries
def test_logs_hold_no_address_and_no_key(
    delivery: str,
    audience: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Even at DEBUG, and with refused members and failing calls, no person and no key is in any log."""
    audience.change(fault_rate=0.2, faults="error,truncated,garbage,reset-after", seed=3)
    with caplog.at_level("DEBUG"):
        run_dag(one_task(segments=write_segments(tmp_path), delivery=delivery))
    written = caplog.text + "".join(capfd.readouterr())
    assert "Export export_" in written
    assert "urllib3" in written
    assert not ADDRESS.search(written)
    assert audience.key.partition("-")[0] not in written


def test_a_killed_task_cancels_its_batches(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> None:
    """With a killed task all ends that it had under way: its calls, its batches, and its lock."""
    mailchimp.change(batch_pending=3600.0)
    kept = tmp_path / "kept"
    dag = one_task(segments=write_segments(tmp_path, PAIR), exports_root=str(kept))
    export = dag.task_dict["export"]
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(export.execute, context_of(export))
        wait_until(
            lambda: mailchimp.stats()["requests"].get("GET /batches/{batch_id}"), "a look at the batch"
        )
        export.on_kill()
        with pytest.raises(RuntimeError, match="nothing is sent any more"):
            running.result(timeout=PATIENCE)
    assert mailchimp.stats()["requests"]["DELETE /batches/{batch_id}"] == {"204": 1}
    assert list(kept.glob("*/lock.json")) == []


def test_the_next_run_need_not_wait_for_a_killed_one(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """A run that begins right after another was ended by a user takes its people along."""
    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

    mailchimp.change(batch_stuck=-1)
    settings = {
        "segments": write_segments(tmp_path, PAIR),
        "export_name": "pair",
        "exports_root": str(tmp_path / "kept"),
    }
    handed_over = one_task(**settings, wait_for_completion=False).task_dict["export"]
    ended = handed_over.execute(context_of(handed_over))
    asyncio.run(MailchimpBatchTrigger(ended["batch_ids"], run_uri=ended["run_uri"]).on_kill())
    mailchimp.change(batch_stuck=0)
    run = run_dag(one_task(**settings))
    assert states(run) == {"export": "success"}
    assert as_audience(mailchimp.members()) == expect(PAIR, ()).audience


def test_a_task_that_submitted_nothing_has_nothing_to_cancel(mailchimp: Sandbox, airflow_db: None) -> None:
    """Killed before it sent anything, a task does not call Mailchimp."""
    one_task(segments={"Pair": table(PAIR["Pair"])}).task_dict["export"].on_kill()
    assert mailchimp.stats()["requests"] == {}
