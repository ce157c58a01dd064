"""One refresh after another, and the exports that the scheduler starts for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.airflow.runs import report_of
from tests.integration.conftest import FirstExport
from tests.live_airflow import EXPORT, EXPORT_ALL, PROFILES, REFRESH, returned, until

pytestmark = pytest.mark.timeout(900)

# What makes somebody one of a segment's people, and of no other's.
BELONGING: Mapping[str, Mapping[str, Any]] = {
    "VIP": {"loyalty_tier": "platinum"},
    "Newsletter": {"newsletter_opt_in": True},
    "Recent buyers": {"last_purchase": datetime(2026, 1, 1)},
}
Sizes = dict[str, int]


def sizes(*numbers: int) -> Sizes:
    """Give each segment its number of people."""
    return dict(zip(BELONGING, numbers, strict=True))


@dataclass
class Factory:
    """Makes profiles, refreshes the segments, and looks at the exports that follow."""

    airflow: AirflowStack
    sandbox: Sandbox
    earlier: set[str] = field(init=False)
    refreshes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Set aside the runs that there are already."""
        self.earlier = {run["dag_run_id"] for run in self._runs()}

    def write(self, people: Sizes, *, first: int = 0, without: Sequence[str] = ()) -> None:
        """Put new unified profiles in place.

        :param first: the number of each segment's first person; from there on they are numbered.
        :param without: columns that are missing.
        """
        rows = [
            {"email": f"{name.lower().replace(' ', '.')}.{number}@brieftaube-post.eu", **belonging}
            for name, belonging in BELONGING.items()
            for number in range(first, first + people[name])
        ]
        table = pa.Table.from_pylist(rows, schema=pq.read_schema(PROFILES)).drop_columns(list(without))
        place = Path(self.airflow.settings["CUSTOMER_PROFILES"])
        pq.write_table(table, place.with_name("profiles.new"))
        place.with_name("profiles.new").replace(place)

    def refresh(self) -> tuple[str, str]:
        """Refresh the segments; returned are the run and how it ended."""
        run = self.airflow.run_dag(REFRESH)
        self.refreshes.add(run["dag_run_id"])
        return run["dag_run_id"], run["state"]

    def exports(self, *types: str) -> list[str]:
        """Return the exports since the beginning, the first first.

        :param types: as which runs they may have been started.
        """
        since = [run for run in self._runs() if run["dag_run_id"] not in self.earlier]
        assert {run["run_type"] for run in since} <= set(types or ["asset_triggered"])
        return [run["dag_run_id"] for run in sorted(since, key=lambda run: run["run_after"])]

    def next_export(self, number: int) -> str:
        """Wait for this export, counted from 1."""
        until(lambda: len(self.exports()) >= number, timeout=300)
        return self.exports()[number - 1]

    def ended(self, run_id: str) -> Sizes:
        """Wait for the end of an export; returned is how many rows it read of each segment."""
        assert self.airflow.wait_for_run(EXPORT, run_id)["state"] == "success"
        segments = report_of(returned(self.airflow, EXPORT, run_id, "report")["run_uri"])["segments"]
        return {name: segments[name]["rows"] for name in BELONGING}

    def started_by(self, run_id: str) -> list[tuple[str, Sizes]]:
        """Return the refreshes of this test whose events started an export, and the rows that they told of.

        Airflow hands an export all events since the one before, also those while it was switched off.
        """
        events = self.airflow.call("GET", f"/dags/{EXPORT}/dagRuns/{run_id}/upstreamAssetEvents")
        found = [(event["source_run_id"], event["extra"]["rows"]) for event in events["asset_events"]]
        return [(refresh, rows) for refresh, rows in found if refresh in self.refreshes]

    def tags(self) -> Sizes:
        """Count the people of each tag in the audience."""
        return {tag["name"]: tag["members"] for tag in self.sandbox.audience()["tags"]}

    def _runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.airflow.call("GET", f"/dags/{EXPORT}/dagRuns?limit=100")["dag_runs"]
        return runs


@pytest.fixture
def factory(airflow: AirflowStack, first_export: FirstExport, sandbox: Sandbox) -> Iterator[Factory]:
    """An empty audience and an export without a past; in the end the shipped segments are back."""
    segments, kept = airflow.home / "segments", airflow.home / "segments-kept"
    segments.rename(kept)
    shutil.rmtree(airflow.home / "exports", ignore_errors=True)
    yield Factory(airflow, sandbox)
    airflow.call("PATCH", f"/dags/{REFRESH}", {"is_paused": True})
    shutil.rmtree(segments)
    kept.rename(segments)
    shutil.rmtree(airflow.home / "exports", ignore_errors=True)


def test_every_whole_refresh_is_exported_once(factory: Factory) -> None:
    """A refresh of which one segment failed starts nothing; each good one after it starts the export of all."""
    factory.write(sizes(20, 30, 40), without=["loyalty_tier"])
    assert factory.refresh()[1] == "failed"
    for number, built in enumerate([sizes(21, 31, 41), sizes(22, 32, 42), sizes(23, 33, 43)], 1):
        # Whoever was the first of a segment has left it the next time.
        factory.write(built, first=number)
        refresh, state = factory.refresh()
        assert state == "success"
        export = factory.next_export(number)
        assert factory.ended(export) == built
        assert factory.tags() == built
        assert factory.started_by(export) == [(refresh, built)]
    assert len(factory.exports()) == 3


def test_refreshes_during_an_export_are_followed_by_one_more(factory: Factory) -> None:
    """While an export waits for Mailchimp, events wait too; the export after it sends what the last one built."""
    factory.sandbox.change(batch_stuck=-1)
    factory.write(sizes(20, 30, 40))
    factory.refresh()
    waiting = factory.next_export(1)
    until(lambda: factory.airflow.task_states(EXPORT, waiting).get("wait_for_batches") == "deferred")
    for newer in (sizes(21, 31, 41), sizes(22, 32, 42)):
        factory.write(newer)
        assert factory.refresh()[1] == "success"
    assert factory.exports() == [waiting]
    factory.sandbox.change(batch_stuck=0)
    assert factory.ended(waiting) == sizes(20, 30, 40)
    assert factory.ended(factory.next_export(2)) == sizes(22, 32, 42)
    assert factory.tags() == sizes(22, 32, 42)
    assert len(factory.exports()) == 2


def test_refresh_and_export_all(factory: Factory) -> None:
    """One DAG refreshes and exports, and waits for both; the run that the refresh starts meanwhile exports nothing."""
    factory.write(sizes(20, 30, 40))
    factory.airflow.call("PATCH", f"/dags/{REFRESH}", {"is_paused": False})
    run = factory.airflow.run_dag(EXPORT_ALL)
    assert run["state"] == "success"
    assert factory.tags() == sizes(20, 30, 40)
    started, skipped = until(lambda: _two(factory.exports("asset_triggered", "operator_triggered")))
    if started.startswith("asset"):
        started, skipped = skipped, started
    assert factory.ended(started) == sizes(20, 30, 40)
    assert factory.airflow.wait_for_run(EXPORT, skipped)["state"] == "success"
    assert set(factory.airflow.task_states(EXPORT, skipped).values()) == {"skipped"}


def _two(runs: list[str]) -> list[str]:
    return runs if len(runs) == 2 else []
