"""The examples of the package, as they are, by Airflow's own task runner."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.people import crowd, write_segments
from tests.airflow.releases import bags
from tests.airflow.runs import member_rows, report_of, result, states
from tests.kit.insights import truth

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag
    from tests.kit.insights import Insights

EXAMPLES = Path(__file__).parents[2] / "airflow_mailchimp_export" / "example_dags"
RUN_BELOW = {
    "example_mailchimp_approval",
    "example_mailchimp_campaign",
    "example_mailchimp_customer_insights",
    "example_mailchimp_database",
    "example_mailchimp_direct_delivery",
    "example_mailchimp_export",
    "example_mailchimp_files",
    "example_mailchimp_three_tasks",
}
PEOPLE = crowd("letter", 7)

Example = Callable[[str], "DAG"]

pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")


@pytest.fixture
def example(airflow_db: None, mailchimp: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """Return an example; the files that it reads are there, and its connection leads to the sandbox."""
    write_segments(tmp_path, {"newsletter": PEOPLE})
    lines = ["email;first_name;last_name", *(f"vip.{n}@brieftaube-post.eu;V{n};" for n in range(3))]
    (tmp_path / "vip.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("SEGMENTS_FOLDER", str(tmp_path))
    monkeypatch.setenv("MAILCHIMP_AUDIENCE", "mailchimp://us0/a1b2c3d4e5")
    bag = bags().DagBag(EXAMPLES)
    assert bag.import_errors == {}
    return bag.dags.__getitem__


def tags(mailchimp: Sandbox) -> dict[str, int]:
    """How many members carry each tag."""
    given = [tag for member in mailchimp.members() for tag in member["tags"]]
    return {tag: given.count(tag) for tag in given}


def test_each_is_run(airflow_db: None) -> None:
    """An example that no test runs is named here."""
    assert set(bags().DagBag(EXAMPLES).dags) == RUN_BELOW


def test_files(example: Example, mailchimp: Sandbox, run_dag: RunDag) -> None:
    """Each file becomes a tag, which need not be called like its segment."""
    assert states(run_dag(example("example_mailchimp_files"))) == {"export": "success"}
    assert tags(mailchimp) == {"Newsletter": 7, "Very important": 3}


def test_a_database(
    example: Example, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only whom the query finds is exported."""
    path = tmp_path / "customers.db"
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOMERS", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table customers (customer_id int, email text, first_name text, tier text)")
        rows = [(1, "ada@mail.eu", "Ada", "platinum"), (2, "bob@mail.eu", "Bob", "gold")]
        database.executemany("insert into customers values (?, ?, ?, ?)", rows)
    assert states(run_dag(example("example_mailchimp_database"))) == {"export": "success"}
    assert [(member["email"], member["tags"]) for member in mailchimp.members()] == [
        ("ada@mail.eu", ["Best customers"])
    ]


def test_customer_insights(
    example: Example,
    insights: Insights,
    mailchimp: Sandbox,
    run_dag: RunDag,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The export follows the refresh; here nobody waits until nothing is written any more."""
    monkeypatch.setenv("AIRFLOW_CONN_CUSTOMER_INSIGHTS_DEFAULT", json.dumps(insights.connection()))
    dag = example("example_mailchimp_customer_insights")
    dag.task_dict["wait_for_refresh"].quiet = 0
    run = run_dag(dag)
    assert states(run) == {"wait_for_refresh": "success", "export": "success"}
    report = report_of(result(run)["run_uri"])
    assert report["segments"]["Newsletter"]["rows"] == truth(insights, "Newsletter").total()
    assert tags(mailchimp)["Newsletter"] == report["segments"]["Newsletter"]["members"]


def test_three_tasks_and_a_gate(
    example: Example, mailchimp: Sandbox, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The campaign goes out once everybody is there, and not after an export that Mailchimp left without answers."""
    run = run_dag(example("example_mailchimp_three_tasks"))
    assert states(run) == dict.fromkeys(
        ["export", "wait_for_batches", "report", "everybody_is_there", "send_campaign"], "success"
    )
    assert result(run, "send_campaign") == "A campaign could go out now"
    gate = example("example_mailchimp_three_tasks").task_dict["everybody_is_there"].python_callable
    told = result(run, "report")
    assert not gate({**told, "counts": {**told["counts"], "unconfirmed": 1}})
    assert not gate({**told, "dry_run": True})


@pytest.mark.parametrize(("says", "sent"), [("Approve", 7), ("Reject", 0)])
def test_approval(
    says: str,
    sent: int,
    example: Example,
    mailchimp: Sandbox,
    run_dag: RunDag,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A yes sends what was shown; a no sends nobody."""
    asked = []

    def answer(operator: Any, context: Any) -> Any:
        asked.append(operator.body)
        assert member_rows(mailchimp) == 0
        event = {"chosen_options": [says], "params_input": {}, "responded_at": datetime.now(UTC)}
        return operator.execute_complete(context, {**event, "responded_by_user": {"id": "7", "name": "Ada"}})

    monkeypatch.setattr("airflow.providers.standard.operators.hitl.HITLOperator.execute", answer)
    run = run_dag(example("example_mailchimp_approval"))
    assert len(asked) == 1
    assert "7" in asked[0]
    assert states(run)["export"] == ("success" if sent else "skipped")
    assert len(mailchimp.members()) == sent


def test_direct_delivery(example: Example, mailchimp: Sandbox, run_dag: RunDag) -> None:
    """Nothing is handed over as a job."""
    assert states(run_dag(example("example_mailchimp_direct_delivery"))) == {"export": "success"}
    assert tags(mailchimp) == {"Newsletter": 7}
    assert "POST /batches" not in mailchimp.stats()["requests"]


def test_a_campaign_after_an_export(example: Example, mailchimp: Sandbox, run_dag: RunDag) -> None:
    """The campaign waits for the audience that the export publishes, and reads there who is in it."""
    from airflow.models.asset import AssetEvent
    from airflow.sdk.definitions.asset import AssetUniqueKey
    from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor
    from airflow.utils.session import create_session
    from sqlalchemy import select

    campaign = example("example_mailchimp_campaign")
    run = run_dag(example("example_mailchimp_export"))
    (awaited,) = campaign.timetable.asset_condition.objects
    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
        (event,) = [SimpleNamespace(uri=event.asset.uri, extra=event.extra) for event in found]
    assert event.uri == awaited.uri == "mailchimp://us0/a1b2c3d4e5"
    recipients, send = (campaign.task_dict[name].python_callable for name in ("recipients", "send_campaign"))
    told = TriggeringAssetEventsAccessor({AssetUniqueKey.from_asset(awaited): [event]})
    assert send(recipients(triggering_asset_events=told)) == "A campaign for 7 people could go out now"
