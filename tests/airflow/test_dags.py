"""The shipped DAGs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.airflow.runs import rendered, report_of, result, states

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

REFRESH, EXPORT = "customer_segments_refresh", "mailchimp_segment_export"
SEGMENTS = ["VIP", "Newsletter", "Recent buyers"]
KEYS = ["vip", "newsletter", "recent_buyers"]


def published_by(run: DagRun) -> dict[str, dict[str, Any]]:
    """Read what a run told with the assets that it published, by their names."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.execute(
            select(AssetModel.name, AssetEvent.extra)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetEvent.source_run_id == run.run_id, AssetEvent.source_dag_id == run.dag_id)
        ).all()
    return dict(events)


def test_shipped_dags_are_two(shipped_dags: dict[str, DAG]) -> None:
    """The folder holds the refresh and the export, and both are read without an error."""
    assert sorted(shipped_dags) == [REFRESH, EXPORT]


@pytest.mark.parametrize("dag_id", [REFRESH, EXPORT])
def test_dag_explains_itself_and_never_catches_up(shipped_dags: dict[str, DAG], dag_id: str) -> None:
    """Each DAG has a description for the UI, runs one run at a time and makes up for no missed one."""
    dag = shipped_dags[dag_id]
    assert dag.doc_md
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_refresh_is_daily_and_published_after_all_segments(shipped_dags: dict[str, DAG]) -> None:
    """The refresh runs daily; a task per segment waits for none, and the last waits for the success of all."""
    dag = shipped_dags[REFRESH]
    assert dag.schedule == "@daily"
    published = {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks}
    assert published == {
        "refresh_vip": ["segment_vip"],
        "refresh_newsletter": ["segment_newsletter"],
        "refresh_recent_buyers": ["segment_recent_buyers"],
        "publish": ["customer_segments"],
    }
    upstream = {task.task_id: task.upstream_task_ids for task in dag.tasks}
    assert upstream.pop("publish") == upstream.keys()
    assert not any(upstream.values())
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
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        shipped_dags[EXPORT].params[param] = value


def test_export_is_three_tasks_in_a_row(shipped_dags: dict[str, DAG]) -> None:
    """The report follows export and sensor, and runs when the sensor gave up but not without an export."""
    tasks = shipped_dags[EXPORT].task_dict
    assert {task_id: task.upstream_task_ids for task_id, task in tasks.items()} == {
        "export": set(),
        "wait_for_batches": {"export"},
        "report": {"export", "wait_for_batches"},
    }
    assert tasks["report"].trigger_rule == "all_done_min_one_success"


def test_export_is_tried_again_after_growing_delays(shipped_dags: dict[str, DAG]) -> None:
    """Each task is tried twice more, after one to two minutes and then after two to four."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.serialization.serialized_objects import DagSerialization

    scheduled = DagSerialization.from_dict(DagSerialization.to_dict(shipped_dags[EXPORT]))
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
def snapshots(tmp_path: Path) -> Path:
    """A file of two people for each segment."""
    folder = tmp_path / "segments"
    folder.mkdir()
    for key in KEYS:
        blank = dict.fromkeys(["last_name", "phone", "birthday"], pa.nulls(2, pa.string()))
        people = {
            "email": [f"{key}.{number}@brieftaube-post.eu" for number in "12"],
            "first_name": ["A", "B"],
        }
        pq.write_table(pa.table({**people, **blank}), folder / f"{key}.parquet")
    return folder


def export_fields(run: DagRun) -> dict[str, Any]:
    """Read what the templates of the task ``export`` became."""
    return next(fields for fields in json.loads(rendered(run)) if "segments" in fields)


def test_export_does_what_its_form_says(
    shipped_dags: dict[str, DAG], run_dag: RunDag, mailchimp: Sandbox, snapshots: Path
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
        "segments": json.dumps(
            {"VIP": str(snapshots / "vip.parquet"), "Newsletter": str(snapshots / "newsletter.parquet")}
        ),
        "delivery": "direct",
        "on_leave": "keep",
        "dry_run": "True",
        "full": "True",
        "options": {"max_removal_ratio": "0.25", "allow_older": "True"},
    }
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


@pytest.mark.usefixtures("mailchimp", "snapshots")
def test_export_to_an_audience_whose_id_looks_like_a_number(
    audience_like_a_number: str, shipped_dags: dict[str, DAG], run_dag: RunDag
) -> None:
    """An id such as 12345e6789 reaches the operator as it is, which fails because there is no such audience."""
    run = run_dag(shipped_dags[EXPORT])
    assert export_fields(run)["audience_id"] == audience_like_a_number
    assert states(run) == {
        "export": "failed",
        "wait_for_batches": "upstream_failed",
        "report": "upstream_failed",
    }


def test_refresh_writes_every_snapshot_whole(
    shipped_dags: dict[str, DAG], run_dag: RunDag, tmp_path: Path
) -> None:
    """A run of the refresh leaves one file per segment, with all columns, and nothing half done."""
    assert run_dag(shipped_dags[REFRESH]).state == "success"
    folder = tmp_path / "segments"
    assert sorted(path.name for path in folder.iterdir()) == [
        "newsletter.parquet",
        "recent_buyers.parquet",
        "vip.parquet",
    ]
    rows = {path.stem: pq.read_table(path).num_rows for path in folder.iterdir()}
    assert all(1000 < count < 20_000 for count in rows.values())
    assert pq.read_schema(folder / "vip.parquet").names[:2] == ["customer_id", "email"]


def test_refresh_tells_its_rows_and_moment_with_the_assets(
    shipped_dags: dict[str, DAG], run_dag: RunDag, tmp_path: Path
) -> None:
    """A segment's event carries the number of its profiles, the refresh's those of all, and its moment."""
    run = run_dag(shipped_dags[REFRESH])
    files = [tmp_path / "segments" / f"{key}.parquet" for key in KEYS]
    built = {path.stem: pq.read_metadata(path).num_rows for path in files}
    assert published_by(run) == {
        **{f"segment_{key}": {"rows": rows} for key, rows in built.items()},
        "customer_segments": {
            "rows": dict(zip(SEGMENTS, built.values(), strict=True)),
            "as_of": run.logical_date.isoformat(),
        },
    }


def test_a_refresh_that_failed_in_part_is_not_published(
    shipped_dags: dict[str, DAG], run_dag: RunDag, tmp_path: Path
) -> None:
    """Where one segment cannot be built, the others are, and nothing is published that starts an export."""
    (tmp_path / "segments" / "vip.parquet").mkdir(parents=True)
    run = run_dag(shipped_dags[REFRESH])
    assert states(run) == {
        "refresh_vip": "failed",
        "refresh_newsletter": "success",
        "refresh_recent_buyers": "success",
        "publish": "upstream_failed",
    }
    assert sorted(published_by(run)) == ["segment_newsletter", "segment_recent_buyers"]


def test_messages_name_the_labels_of_the_form(shipped_dags: dict[str, DAG]) -> None:
    """What a message calls "in the form" is what the form of the shipped DAG shows."""
    from airflow_mailchimp_export.settings.form import FORM_LABELS

    params = shipped_dags[EXPORT].params
    titles = {name: params.get_param(name).schema["title"] for name in FORM_LABELS}
    assert titles == dict(FORM_LABELS)
