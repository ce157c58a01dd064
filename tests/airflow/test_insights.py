"""Segments of Customer Insights, exported by Airflow's own task runner, and the sensor that waits for them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_mailchimp_export import insights_hooks, insights_triggers
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.customer_insights.client import Pace
from tests.airflow.people import as_audience
from tests.airflow.runs import Failures, context_of, new_dag, one_task, report_of, result, states
from tests.kit.insights import RULES

if TYPE_CHECKING:
    from airflow_mailchimp_export.insights_sensors import CustomerInsightsRefreshSensor
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag
    from tests.kit.insights import Insights

# Airflow warns of its own way to a connection's hook.
pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")

LONG_AGO = "2020-01-01T00:00:00Z"
OVER_API = {name: {"conn_id": "ci", "segment": name} for name in RULES}
OF_API = {"EMAIL": "msdynci_email", "FNAME": "msdynci_firstname", "BIRTHDAY": "msdynci_birthday"}
OF_FILES = {"EMAIL": "Email", "FNAME": "FirstName", "BIRTHDAY": "Birthday"}
OF_PARQUET = {"EMAIL": "email", "FNAME": "first_name", "BIRTHDAY": "birthday"}


@pytest.fixture
def ci(insights: Insights, monkeypatch: pytest.MonkeyPatch) -> Insights:
    """A local Customer Insights, with Airflow's connection ``ci`` leading there."""
    monkeypatch.setenv("AIRFLOW_CONN_CI", json.dumps(insights.connection()))
    return insights


def as_parquet(insights: Insights, folder: Path) -> dict[str, str]:
    """Write the segments as Parquet files, by their rules."""
    with duckdb.connect() as database:
        database.read_parquet(str(insights.profiles)).create_view("profiles")
        for name, rule in RULES.items():
            database.sql(f"FROM profiles WHERE {rule}").write_parquet(str(folder / f"{name}.parquet"))
    return {name: str(folder / f"{name}.parquet") for name in RULES}


def test_all_sources_lead_to_the_same_audience(
    ci: Insights, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Over the API and from the file export, the same people get the same tags, with the same counts."""
    sources: dict[str, tuple[Any, dict[str, str]]] = {
        "parquet": (as_parquet(ci, tmp_path), OF_PARQUET),
        "api": (OVER_API, OF_API),
        "files": ({name: {"uri": ci.export, "segment": name, "max_age": "1d"} for name in RULES}, OF_FILES),
    }
    found: dict[str, Any] = {}
    for name, (segments, field_map) in sources.items():
        mailchimp.reset()
        dag = one_task(
            segments=segments, field_map=field_map, delivery="direct", exports_root=str(tmp_path / name)
        )
        run = run_dag(dag)
        assert set(states(run).values()) == {"success"}
        told = report_of(result(run, "export")["run_uri"])
        who = {
            member: (known["status"], known["tags"])
            for member, known in as_audience(mailchimp.members()).items()
        }
        found[name] = (who, told["counts"], told["rejects_by_reason"], told["segments"])
        assert bool(told["read_as"]) is (name == "api")
    assert len(found["parquet"][0]) > 500
    assert found["api"] == found["parquet"]
    assert found["files"] == found["parquet"]


def test_the_report_names_who_read(ci: Insights, mailchimp: Sandbox, run_dag: RunDag) -> None:
    """The application user and the app registration of the connection stand in run and report."""
    from airflow_mailchimp_export.insights_hooks import CustomerInsightsHook

    run = run_dag(one_task(segments={"VIP": OVER_API["VIP"]}, field_map=OF_API, dry_run=True))
    (named,) = report_of(result(run, "export")["run_uri"])["read_as"]
    user = CustomerInsightsHook("ci").who()
    assert named == f"{user.name}, application {ci.client_id}, by connection ci"


def test_people_who_cannot_be_read_fail_the_task(ci: Insights, mailchimp: Sandbox, run_dag: RunDag) -> None:
    """Nobody is sent of a segment that is not whole, and the report says why."""
    ci.change(unhydrated=0.1)
    failures = Failures()
    run_dag(one_task(segments=OVER_API, field_map=OF_API, **failures.settings))
    assert "have no profile that can be read" in str(failures[0] if failures else failures.retried[0])
    assert mailchimp.members() == []


def test_the_connection_is_tested_by_the_button(ci: Insights, airflow_db: None) -> None:
    """The button of Airflow's page finds the hook, and says who reads."""
    from airflow.models.connection import Connection

    passed, message = Connection.get_connection_from_secrets("ci").test_connection()
    assert passed, message
    assert "Table msdynci_customerprofile (Elastic)" in message


def test_the_command_lists_segments(ci: Insights) -> None:
    """It reads Airflow's connection."""
    command = [sys.executable, "-m", "airflow_mailchimp_export.customer_insights", "segments", "ci"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    # Before them Airflow 3.1 logs what it sets up.
    listed = done.stdout.splitlines()[-len(RULES) - 1 :]
    assert [line.split()[0] for line in listed] == ["segment", *sorted(RULES)]


def make_sensor(**settings: Any) -> CustomerInsightsRefreshSensor:
    """Make a sensor in a DAG of its own."""
    from airflow_mailchimp_export.insights_sensors import CustomerInsightsRefreshSensor

    given = {"segments": OVER_API, "after": LONG_AGO, "quiet": 0, "poke_interval": 0.01, **settings}
    with new_dag():
        return CustomerInsightsRefreshSensor(task_id="wait", **given)


def poke(**settings: Any) -> bool:
    """Look once."""
    sensor = make_sensor(**settings)
    return sensor.poke(context_of(sensor))


class TestSensor:
    """Waiting for a refresh."""

    def test_over_the_api(self, ci: Insights) -> None:
        """A refresh came once rows were written after the moment, and is over once none was for a while."""
        assert poke()
        assert not poke(quiet=timedelta(hours=1))
        later = datetime.now(UTC) + timedelta(hours=1)
        assert not poke(after=later)
        ci.change(clock_shift=7200)
        ci.control("reset", {})
        assert poke(after=later, quiet=-7200)

    def test_from_files(self, ci: Insights) -> None:
        """The model of the export says when its files were written."""
        segments = {"VIP": {"uri": ci.export, "segment": "VIP"}}
        assert poke(segments=segments)
        assert not poke(segments=segments, after=datetime.now(UTC) + timedelta(hours=1))

    def test_tables_that_do_not_tell(self, ci: Insights) -> None:
        """Without a time of the last change, it is said what to do instead."""
        from airflow.providers.common.compat.sdk import AirflowFailException

        ci.change(table_type="virtual")
        with pytest.raises(AirflowFailException, match="Wait for the file export"):
            poke()

    def test_out_of_reach(self, ci: Insights, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is no news, and it is asked again."""
        monkeypatch.setattr(insights_hooks, "PROMPT", Pace(attempts=1))
        ci.control("faults", {"path": "/api/**", "answer": "unavailable", "count": -1})
        assert not poke()
        ci.control("faults/clear", {})
        assert poke()

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"after": "yesterday"}, "after must be a moment"),
            ({"segments": {"VIP": "/data/vip.parquet"}}, "is not of Customer Insights"),
            ({"segments": {}}, "segments is empty"),
        ],
        ids=str,
    )
    def test_mistakes(self, ci: Insights, settings: dict[str, Any], words: str) -> None:
        """Each fails the task at once."""
        from airflow.providers.common.compat.sdk import AirflowFailException

        with pytest.raises(AirflowFailException, match=words):
            poke(**settings)

    def test_deferring(self, ci: Insights, run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
        """The triggerer waits in its place."""
        monkeypatch.setattr(insights_triggers, "FIRST_PAUSE", 0.01)
        run = run_dag(
            make_sensor(deferrable=True, after=datetime.now(UTC) - timedelta(days=1), quiet=0.5).dag
        )
        assert states(run) == {"wait": "success"}


class TestTrigger:
    """How the triggerer's waiting ends."""

    def fire(self, **settings: Any) -> dict[str, Any]:
        """Run a trigger until it fires."""
        from airflow_mailchimp_export.insights_triggers import CustomerInsightsRefreshTrigger

        given: dict[str, Any] = {"quiet": 0.0, "pause": 0.01, "end": 9e9, **settings}
        segments, after = given.pop("segments", OVER_API), given.pop("after", "2020-01-01T00:00:00+00:00")
        trigger = CustomerInsightsRefreshTrigger(segments, after, **given)
        path, kept = trigger.serialize()
        assert path == "airflow_mailchimp_export.insights_triggers.CustomerInsightsRefreshTrigger"
        again = CustomerInsightsRefreshTrigger(**kept)

        async def first() -> dict[str, Any]:
            async for event in again.run():
                return dict(event.payload)
            raise AssertionError("no event")

        return asyncio.run(first())

    def test_refreshed(self, ci: Insights) -> None:
        """All segments were."""
        assert self.fire() == {"status": "refreshed", "message": ""}

    def test_timed_out(self, ci: Insights) -> None:
        """The time is over."""
        assert self.fire(after="2999-01-01T00:00:00+00:00", end=0.0)["status"] == "timed_out"

    def test_refused(self, ci: Insights) -> None:
        """It will never be told."""
        ci.change(client_secret="another")
        told = self.fire()
        assert told["status"] == "refused"
        assert "Client secret" in told["message"]


def test_a_configured_export_waits_and_exports(
    ci: Insights, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The DAG of exports.yaml waits for the refresh, and reads the segments where they are."""
    from airflow_mailchimp_export.dags import exports

    monkeypatch.setattr(insights_triggers, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr("airflow_mailchimp_export.delivery.watch.FIRST_PAUSE", 0.05)
    ci.change(clock_shift=-1_000)
    ci.control("reset", {})
    dags = exports(
        Configuration.model_validate(
            {
                "snapshots": str(tmp_path / "snapshots"),
                "segments": {"vip": {"name": "VIP", "conn_id": "ci", "segment": "VIP"}},
                "exports": {
                    "insights_export": {
                        "segments": ["vip"],
                        "email": "msdynci_email",
                        "schedule": "by_hand",
                        "refreshed_within": 1,
                    }
                },
            }
        )
    )
    tasks = ["wait_for_refresh", "choose_segments", "export", "wait_for_batches", "report"]
    assert states(run_dag(dags["insights_export"])) == dict.fromkeys(tasks, "success")
    assert {tag for member in mailchimp.members() for tag in member["tags"]} == {"VIP"}

    # Where there is no Customer Insights any more, the export can be withdrawn.
    monkeypatch.delenv("AIRFLOW_CONN_CI")
    run = run_dag(dags["insights_export"], {"withdraw": True, "delivery": "direct"})
    assert states(run)["report"] == "success"
    assert not any(member["tags"] for member in mailchimp.members())
