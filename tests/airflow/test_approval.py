"""An export can ask for somebody's yes, and then sends what was shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.published import XCOM_KEY
from tests.airflow.runs import context_of, report_of, result, states, xcoms

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]+")
CROWD = [f"p{number:03}@brieftaube-post.eu" for number in range(50)]


@pytest.fixture
def vip(tmp_path: Path) -> Path:
    """The file of the segment."""
    return tmp_path / "segments" / "vip.parquet"


@pytest.fixture
def dag_of(vip: Path, tmp_path: Path) -> Any:
    """Build the DAG of an export with these keys besides."""
    from airflow_mailchimp_export.config.models import Configuration
    from airflow_mailchimp_export.dags import export_dag

    def build(**keys: Any) -> DAG:
        entry = {"email": "email", "segments": ["vip"], "delivery": "direct", "schedule": "by_hand", **keys}
        configuration = Configuration.model_validate(
            {
                "profiles": "profiles.parquet",
                "snapshots": str(vip.parent),
                "segments": {"vip": {"name": "VIP", "uri": str(vip)}},
                "exports": {f"asks_{tmp_path.name.replace('-', '_')}"[:90]: entry},
            }
        )
        return export_dag(configuration, *configuration.exports, refresh=False)

    return build


def write(file: Path, *emails: str) -> None:
    """Build the segment again."""
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"email": list(emails)}), file)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answer each question at once: returns the questions, by what is set in ``says``."""
    from airflow_mailchimp_export.dags.approval import ExportApprovalOperator

    class Answers:
        says = "Approve"
        asked: list[ExportApprovalOperator]

    answers = Answers()
    answers.asked = []

    def ask(operator: ExportApprovalOperator, context: Any) -> Any:
        answers.asked.append(operator)
        event = {
            "chosen_options": [answers.says],
            "params_input": {},
            "responded_at": datetime.now(UTC),
            "responded_by_user": {"id": "7", "name": "Ada"},
        }
        return operator.execute_complete(context, event)

    monkeypatch.setattr("airflow.providers.standard.operators.hitl.HITLOperator.execute", ask)
    return answers


def test_the_tasks_that_ask_come_first(dag_of: Any) -> None:
    """The preview is asked for what the export is asked for; without the key there are neither."""
    dag = dag_of(approval="always", approvers=["ada"], approval_hours=12)
    assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
        "choose_segments": set(),
        "preview": {"choose_segments"},
        "approve": {"preview"},
        "export": {"choose_segments", "approve"},
        "wait_for_batches": {"export"},
        "report": {"export", "wait_for_batches"},
    }
    approve = dag.task_dict["approve"]
    assert approve.assigned_users == [{"id": "ada", "name": "ada"}]
    # Before it had a limit of its own, an approval had that of any task.
    limit = approve.response_timeout if hasattr(approve, "response_timeout") else approve.execution_timeout
    assert limit.total_seconds() == 12 * 3600
    assert "preview" not in dag_of().task_dict


def test_a_yes_sends_what_was_shown(
    dag_of: Any, run_dag: RunDag, mailchimp: Sandbox, vip: Path, answers: Any
) -> None:
    """The question has counts, segments and the place of the files, and no address; the export then sends that."""
    write(vip, *CROWD)
    run = run_dag(dag_of(approval="always"))
    assert set(states(run).values()) == {"success"}
    (asked,) = answers.asked
    assert asked.subject == f"Run export {run.dag_id}.export?"
    assert "| 50 | created |" in asked.body
    assert "| VIP | 50 | 50 | 0 |" in asked.body
    assert not ADDRESS.search(asked.body)
    assert len(mailchimp.members()) == 50
    report = report_of(result(run, "report")["run_uri"])
    assert (report["dry_run"], report["counts"]["created"]) == (False, 50)


def test_a_no_sends_nothing_and_says_so(
    dag_of: Any,
    run_dag: RunDag,
    mailchimp: Sandbox,
    vip: Path,
    answers: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All tasks after it are skipped, and the run is no failure."""
    write(vip, *CROWD)
    answers.says = "Reject"
    run = run_dag(dag_of(approval="always"))
    assert states(run) == {
        "choose_segments": "success",
        "preview": "success",
        "approve": "success",
        "export": "skipped",
        "wait_for_batches": "skipped",
        "report": "skipped",
    }
    assert mailchimp.members() == []
    assert "Nothing is sent: Ada said no to this export" in caplog.text + "".join(capfd.readouterr())


def test_nobody_is_asked_about_a_dry_run(
    dag_of: Any, run_dag: RunDag, mailchimp: Sandbox, vip: Path, answers: Any
) -> None:
    """A dry run by hand goes on by itself."""
    write(vip, *CROWD)
    run = run_dag(dag_of(approval="always"), {"dry_run": True})
    assert set(states(run).values()) == {"success"}
    assert answers.asked == []
    assert report_of(result(run, "report")["run_uri"])["dry_run"] is True


def test_the_first_run_alone(
    dag_of: Any, run_dag: RunDag, mailchimp: Sandbox, vip: Path, answers: Any
) -> None:
    """Once there is a ledger nobody is asked any more, and no dry run is made."""
    write(vip, *CROWD)
    dag = dag_of(approval="first_run")
    run_dag(dag)
    assert len(answers.asked) == 1
    second = run_dag(dag)
    assert set(states(second).values()) == {"success"}
    assert len(answers.asked) == 1
    assert result(second, "preview") == {"asks": False, "reason": "the export has run before"}


def test_above_the_removal_limit_it_asks_in_place_of_failing(
    dag_of: Any, run_dag: RunDag, mailchimp: Sandbox, vip: Path, answers: Any
) -> None:
    """Within the limit nobody is asked; above it the numbers are shown, and a yes lets so many go."""
    dag = dag_of(approval="above_removal_ratio")
    write(vip, *CROWD)
    run_dag(dag)
    write(vip, *CROWD[10:])
    run_dag(dag)
    assert answers.asked == []
    write(vip, *CROWD[40:])
    run = run_dag(dag)
    assert set(states(run).values()) == {"success"}
    (asked,) = answers.asked
    assert "**Too many people would be removed: tag 'VIP' 30 of 40 people (75%)" in asked.body
    assert report_of(result(run, "report")["run_uri"])["counts"]["removed"] == 30


def test_data_that_changed_since_are_not_sent(
    dag_of: Any,
    run_dag: RunDag,
    mailchimp: Sandbox,
    vip: Path,
    answers: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Where the segment is built again between question and export, nothing is sent, and the message says why."""
    from airflow_mailchimp_export.dags.approval import ExportApprovalOperator

    write(vip, *CROWD)
    answer = ExportApprovalOperator.execute_complete

    def answered_late(operator: Any, context: Any, event: Any) -> Any:
        write(vip, *CROWD, "late@brieftaube-post.eu")
        return answer(operator, context, event)

    monkeypatch.setattr(ExportApprovalOperator, "execute_complete", answered_late)
    run = run_dag(dag_of(approval="always"))
    assert states(run)["export"] == "failed"
    assert mailchimp.members() == []
    told = " ".join((caplog.text + "".join(capfd.readouterr())).split())
    assert "Nothing was sent: The segments are not those that were approved any more" in told
    assert "Remedy: Start a new run, and let it be approved" in told


def test_a_preview_that_fails_is_told_as_a_dry_run(
    dag_of: Any, run_dag: RunDag, mailchimp: Sandbox, answers: Any
) -> None:
    """Whoever reads what it publishes must not take it for the export, and nobody is asked."""
    run = run_dag(dag_of(approval="always", connection="nowhere"))
    assert states(run)["preview"] == "failed"
    told = xcoms(run)["preview", -1, XCOM_KEY]
    assert (told["dry_run"], told["preview"]) == (True, True)
    assert answers.asked == []


def test_no_answer_in_time_is_an_error_of_its_own(dag_of: Any) -> None:
    """The message says that nothing was sent, and what to do."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    approve = dag_of(approval="always", approval_hours=1).task_dict["approve"]
    with pytest.raises(AirflowFailException, match="Nobody said yes or no in time, so nothing was sent"):
        approve.execute_complete(context_of(approve), {"error": "late", "error_type": "timeout"})


def test_the_preview_leaves_no_trace(
    dag_of: Any, run_dag: RunDag, mailchimp: Sandbox, vip: Path, answers: Any
) -> None:
    """It has a folder of its own, and the XCom of the preview has no address."""
    write(vip, *CROWD)
    answers.says = "Reject"
    run: DagRun = run_dag(dag_of(approval="always"))
    place = Path(result(run, "preview")["run_uri"])
    assert place.name.endswith(".preview")
    assert not (place.parent / "ledger.parquet").exists()
    told = xcoms(run)["preview", -1, XCOM_KEY]
    assert (told["verdict"], told["preview"]) == ("success", True)
    assert not ADDRESS.search(json.dumps(list(xcoms(run).values()), default=str))
