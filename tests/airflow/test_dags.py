"""The shipped DAGs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.airflow.releases import read_back
from tests.airflow.runs import rendered, report_of, result, states

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from airflow_mailchimp_export.snapshots.manifest import Refresh
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

REFRESH, EXPORT = "customer_segments_refresh", "mailchimp_segment_export"
EXPORT_ALL = "customer_segments_refresh_and_export_all"
SEGMENTS = ["VIP", "Newsletter", "Recent buyers"]
KEYS = ["vip", "newsletter", "recent_buyers"]


def test_shipped_dags_are_three(shipped_dags: dict[str, DAG]) -> None:
    """The folder holds the refresh, the export and the DAG that runs both, and all are read without an error."""
    assert sorted(shipped_dags) == [REFRESH, EXPORT_ALL, EXPORT]


@pytest.mark.parametrize("dag_id", [REFRESH, EXPORT_ALL, EXPORT])
def test_dag_explains_itself_and_never_catches_up(shipped_dags: dict[str, DAG], dag_id: str) -> None:
    """Each DAG has a description for the UI, runs one run at a time and makes up for no missed one."""
    dag = shipped_dags[dag_id]
    assert dag.doc_md
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_refresh_is_daily_and_published_after_all_segments(shipped_dags: dict[str, DAG]) -> None:
    """The refresh runs daily; a mapped task builds each segment, and the next waits for the success of all."""
    dag = shipped_dags[REFRESH]
    assert dag.schedule == "@daily"
    upstream = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    assert upstream == {
        "begin": set(),
        "refresh": {"begin"},
        "publish": {"begin", "refresh"},
        "clean_up": {"publish"},
    }
    assert dag.task_dict["refresh"].is_mapped
    assert [asset.name for asset in dag.task_dict["publish"].outlets] == ["customer_segments"]
    assert dag.task_dict["publish"].trigger_rule == "all_success"


def test_export_is_started_by_whole_refreshes_alone(shipped_dags: dict[str, DAG]) -> None:
    """The export is scheduled by the one asset of a whole refresh, and by no asset of a single segment."""
    condition = shipped_dags[EXPORT].timetable.asset_condition
    assert [asset.name for asset in condition.objects] == ["customer_segments"]


def test_export_asks_for_segments_and_delivery(shipped_dags: dict[str, DAG]) -> None:
    """The form offers a choice of segments, all of them to begin with, and the two deliveries."""
    params = shipped_dags[EXPORT].params
    assert params["segments"] == SEGMENTS
    assert params.get_param("segments").schema["examples"] == SEGMENTS
    assert params["delivery"] == "batch"
    assert params.get_param("delivery").schema["enum"] == ["batch", "direct"]


@pytest.mark.parametrize(
    ("param", "value"), [("segments", ["VIP", "Nobody"]), ("segments", []), ("delivery", "pigeon")]
)
def test_export_refuses_what_it_does_not_offer(
    shipped_dags: dict[str, DAG], param: str, value: object
) -> None:
    """An unknown segment, no segment at all, or an unknown delivery is refused before a run starts."""
    from airflow.providers.common.compat.sdk import ParamValidationError

    with pytest.raises(ParamValidationError):
        shipped_dags[EXPORT].params[param] = value


def test_export_is_three_tasks_in_a_row_behind_the_choice(shipped_dags: dict[str, DAG]) -> None:
    """The report follows export and sensor, and runs when the sensor gave up but not without an export."""
    tasks = shipped_dags[EXPORT].task_dict
    assert {task_id: task.upstream_task_ids for task_id, task in tasks.items()} == {
        "choose_refresh": set(),
        "export": {"choose_refresh"},
        "wait_for_batches": {"export"},
        "report": {"export", "wait_for_batches"},
    }
    assert tasks["report"].trigger_rule == "all_done_min_one_success"


def test_export_is_tried_again_after_growing_delays(shipped_dags: dict[str, DAG]) -> None:
    """Each task is tried twice more, after one to two minutes and then after two to four."""
    from airflow.models.taskinstance import TaskInstance

    scheduled = read_back(shipped_dags[EXPORT])
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    for task in scheduled.tasks:
        delays = []
        for number in range(1, task.retries + 1):
            tried = TaskInstance(task, dag_version_id=None, run_id="daily")
            tried.try_number, tried.end_date = number, ended
            delays.append((tried.next_retry_datetime() - ended).total_seconds())
        first, second = delays
        assert 60 <= first < 120 <= second < 240


@pytest.fixture
def refreshed(tmp_path: Path) -> Refresh:
    """A finished refresh with two people in each segment."""
    from airflow_mailchimp_export.snapshots.manifest import Refresh, Snapshot, new_id
    from airflow_mailchimp_export.snapshots.store import Snapshots

    snapshots, refresh = Snapshots(tmp_path / "segments"), new_id(datetime(2026, 1, 2, tzinfo=UTC))
    for key in KEYS:
        blank = dict.fromkeys(["last_name", "phone", "birthday"], pa.nulls(2, pa.string()))
        people = {
            "email": [f"{key}.{number}@brieftaube-post.eu" for number in "12"],
            "first_name": ["A", "B"],
        }
        with snapshots.writing(refresh, key) as draft:
            pq.write_table(pa.table({**people, **blank}), draft)
    whole = tuple(Snapshot(key, name, refresh, 2, 1) for key, name in zip(KEYS, SEGMENTS, strict=True))
    finished = Refresh(
        refresh, "2026-01-02T00:00:00+00:00", f"{REFRESH}.run", whole, "2026-01-02T00:01:00+00:00"
    )
    snapshots.finish(finished)
    return finished


def export_fields(run: DagRun) -> dict[str, Any]:
    """Read what the templates of the task ``export`` became."""
    return next(fields for fields in json.loads(rendered(run)) if "segments" in fields)


def test_export_does_what_its_form_says(
    shipped_dags: dict[str, DAG], run_dag: RunDag, mailchimp: Sandbox, refreshed: Refresh, tmp_path: Path
) -> None:
    """Every choice of the form reaches the operator, as text that it takes, and the other segments stay out."""
    chosen = {"segments": ["Newsletter", "VIP"], "delivery": "direct", "on_leave": "keep", "dry_run": True}
    run = run_dag(
        shipped_dags[EXPORT], {**chosen, "max_removal_ratio": 0.25, "full": True, "allow_older": True}
    )
    fields = export_fields(run)
    assert {
        name: fields[name] for name in ("segments", "delivery", "on_leave", "dry_run", "full", "options")
    } == {
        "segments": {
            name: {"uri": f"{tmp_path}/segments/{refreshed.id}/{key}.parquet"}
            for name, key in [("VIP", "vip"), ("Newsletter", "newsletter")]
        },
        "delivery": "direct",
        "on_leave": "keep",
        "dry_run": "True",
        "full": "True",
        "options": {"max_removal_ratio": "0.25", "allow_older": "True"},
    }
    assert fields["data_moment"] == refreshed.as_of
    report = report_of(result(run, "report")["run_uri"])
    assert (report["delivery"], report["dry_run"], list(report["segments"])) == (
        "direct",
        True,
        ["VIP", "Newsletter"],
    )
    assert mailchimp.members() == []


@pytest.fixture
def audience_like_a_number(monkeypatch: pytest.MonkeyPatch) -> str:
    """An audience id of the environment that Python would read as a number; to be asked for before the DAGs."""
    monkeypatch.setenv("MAILCHIMP_AUDIENCE_ID", "12345e6789")
    return "12345e6789"


@pytest.mark.usefixtures("mailchimp", "refreshed")
def test_export_to_an_audience_whose_id_looks_like_a_number(
    audience_like_a_number: str, shipped_dags: dict[str, DAG], run_dag: RunDag
) -> None:
    """An id such as 12345e6789 reaches the operator as it is, which fails because there is no such audience."""
    run = run_dag(shipped_dags[EXPORT])
    assert export_fields(run)["audience_id"] == audience_like_a_number
    assert states(run) == {
        "choose_refresh": "success",
        "export": "failed",
        "wait_for_batches": "upstream_failed",
        "report": "upstream_failed",
    }


def test_messages_name_the_labels_of_the_form(shipped_dags: dict[str, DAG]) -> None:
    """What a message calls "in the form" is what the form of the shipped DAG shows."""
    from airflow_mailchimp_export.settings.form import FORM_LABELS

    params = shipped_dags[EXPORT].params
    titles = {name: params.get_param(name).schema["title"] for name in FORM_LABELS}
    assert titles == dict(FORM_LABELS)
