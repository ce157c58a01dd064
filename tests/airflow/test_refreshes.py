"""Runs of the DAG that refreshes the segments, and what exports read of them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.snapshots.store import Snapshots
from tests.airflow.runs import report_of, result, states

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

REFRESH, EXPORT = "customer_segments_refresh", "vip_to_mailchimp"
PEOPLE = pa.table(
    {"email": [f"p{number}@brieftaube-post.eu" for number in range(10)], "spent": range(0, 1000, 100)}
)
FILE = """\
profiles: people.parquet
snapshots: snapshots
refresh: {keep: 1, keep_hours: 0}
segments:
  vip: {name: VIP, where: spent >= 800}
  all: {name: Everybody, uri: people.parquet, warn_ratio: 0}
exports:
  vip_to_mailchimp: {email: email, segments: [vip], delivery: direct}
"""


class Place:
    """A configuration, its profiles, and the runs of its DAGs."""

    def __init__(self, folder: Path, run_dag: RunDag) -> None:
        """Write the file as it is above."""
        self.file = folder / "exports.yaml"
        self.snapshots = Snapshots(folder / "snapshots")
        self._run = run_dag
        self.file.write_text(FILE)
        self.write(PEOPLE)

    def write(self, people: pa.Table) -> None:
        """Put new profiles in place."""
        pq.write_table(people, self.file.with_name("people.parquet"))

    def run(self, dag_id: str, **conf: Any) -> DagRun:
        """Run a DAG as it is configured now."""
        from airflow_mailchimp_export.dags import exports

        return self._run(exports(self.file)[dag_id], conf)

    def refreshed(self, **conf: Any) -> str:
        """Refresh; returned is the name of the refresh."""
        run = self.run(REFRESH, **conf)
        assert run.state == "success"
        return str(published_by(run)["customer_segments"]["refresh"])


@pytest.fixture
def place(tmp_path: Path, run_dag: RunDag, mailchimp: Sandbox) -> Place:
    """A configuration of two segments, over ten people."""
    return Place(tmp_path, run_dag)


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


def read_by(run: DagRun) -> str:
    """Return the refresh that an export has read."""
    assert run.state == "success"
    return str(result(run, "choose_refresh")["refresh"])


def test_a_refresh_that_failed_is_told(place: Place) -> None:
    """Exports with_refresh do not even start then, so nothing of theirs would tell anybody."""
    from tests.airflow.notifiers import Remembering

    alert = "{on: failed, notifier: tests.airflow.notifiers.Remembering}"
    place.file.write_text(
        FILE.replace("keep: 1,", f"keep: 1, alerts: [{alert}],").replace("spent >= 800", "sent >= 800")
    )
    Remembering.told.clear()
    assert place.run(REFRESH).state == "failed"
    (text,) = Remembering.told
    assert text.startswith(f"Refresh of segments {REFRESH} failed in task refresh\nError: Segment 'VIP'")
    assert f"/dags/{REFRESH}/runs/" in text


def test_two_configurations_in_one_folder(
    place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither refreshes over the other's segments, nor exports them: who is called VIP there may be others."""
    place.refreshed()
    place.file.write_text(FILE.replace("keep: 1,", "keep: 1, name: crm_refresh,"))
    assert states(place.run("crm_refresh"))["begin"] == "failed"
    assert states(place.run(EXPORT))["choose_refresh"] == "failed"
    said = " ".join((caplog.text + "".join(capfd.readouterr())).split())
    assert said.count(f"was built by the DAG {REFRESH!r}, and not by 'crm_refresh'") >= 2
    assert "Name a folder of its own under snapshots" in said


def test_a_refresh_tells_its_numbers(place: Place) -> None:
    """Each segment's event has its rows; that of the refresh has all of them, its name, its moment and what changed."""
    first = place.run(REFRESH)
    (refresh,) = place.snapshots.finished()
    whole = place.snapshots.read(refresh)
    assert published_by(first) == {
        "segment_vip": {"rows": 2, "refresh": refresh},
        "segment_all": {"rows": 10, "refresh": refresh},
        "customer_segments": {
            "refresh": refresh,
            "snapshots": place.snapshots.uri,
            "as_of": whole.as_of,
            "rows": {"VIP": 2, "Everybody": 10},
            "rebuilt": ["VIP", "Everybody"],
            "warnings": [],
        },
    }
    place.write(PEOPLE[:9])
    second = place.run(REFRESH, exported_by="somebody.else")
    told = published_by(second)["customer_segments"]
    assert told["warnings"] == [
        "Segment 'Everybody' shrank by 10%, from 10 to 9 profiles (warn_ratio allows 0%)"
    ]
    assert told["exported_by"] == "somebody.else"
    # The first one is removed: one is kept, and nobody reads for longer than no hour.
    assert [*place.snapshots.finished()] == [told["refresh"]]


def test_one_segment_alone(place: Place) -> None:
    """The others stay what they were, and the refresh is whole again."""
    first = place.refreshed()
    place.write(PEOPLE[:9])
    second = place.snapshots.read(place.refreshed(segments=["VIP"]))
    assert {one.name: (one.rows, one.refresh) for one in second.segments} == {
        "VIP": (1, second.id),
        "Everybody": (10, first),
    }
    assert second.rebuilt == ("vip",)
    assert result(place.run(EXPORT), "choose_refresh")["segments"]["VIP"]["uri"].endswith(
        f"/{second.id}/vip.parquet"
    )


def test_one_segment_alone_before_all_others(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing to take over, and that is said."""
    assert place.run(REFRESH, segments=["VIP"]).state == "failed"
    assert "no refresh is finished yet that has the others" in " ".join(caplog.text.split())
    assert "Trigger the refresh for all segments" in caplog.text


def test_a_refresh_that_failed_in_part_is_not_published(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is published that starts an export, and what exports read is the last refresh that was whole."""
    first = place.refreshed()
    place.file.write_text(FILE.replace("spent >= 800", "spend >= 800"))
    run = place.run(REFRESH)
    assert states(run)["publish"] == "upstream_failed"
    assert sorted(published_by(run)) == ["segment_all"]
    assert "Segment 'VIP': DuckDB does not understand its rule" in " ".join(caplog.text.split())
    assert "Remedy: Correct the segment's rule" in caplog.text
    assert read_by(place.run(EXPORT)) == first


def test_an_export_without_a_refresh(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """What the last release left in the folder is not taken for one; the message says what to do."""
    (place.file.parent / "snapshots").mkdir()
    shutil.copy(place.file.with_name("people.parquet"), place.file.parent / "snapshots" / "vip.parquet")
    run = place.run(EXPORT)
    assert states(run) == {
        "choose_refresh": "failed",
        "export": "upstream_failed",
        "wait_for_batches": "upstream_failed",
        "report": "upstream_failed",
    }
    words = " ".join(caplog.text.split())
    assert "No refresh of the segments is finished yet" in words
    assert "Remedy: Trigger the DAG that refreshes the segments" in words


def test_a_segment_that_came_after_the_refresh(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """The export says so, and nobody loses a tag."""
    refresh = place.refreshed()
    place.file.write_text(
        FILE.replace("exports:", "  new: {name: New, where: spent > 1}\nexports:").replace(
            "[vip]", "[vip, new]"
        )
    )
    assert place.run(EXPORT).state == "failed"
    assert f"Segment 'New' is not in refresh {refresh}" in " ".join(caplog.text.split())


def test_an_older_refresh_is_exported_only_if_asked_for(
    place: Place, mailchimp: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Its data are of an earlier moment than what the audience has."""
    place.file.write_text(FILE.replace("keep: 1", "keep: 2"))
    first = place.refreshed()
    whole = place.snapshots.read(first)
    later = place.refreshed()
    place.snapshots.finish(replace(whole, as_of="2026-01-01T00:00:00+00:00"))
    assert read_by(place.run(EXPORT)) == later
    refused = place.run(EXPORT, refresh=first)
    assert states(refused)["export"] == "failed"
    assert "This run's data are of 2026-01-01T00:00:00+00:00" in " ".join(caplog.text.split())
    allowed = place.run(EXPORT, refresh=first, allow_older=True)
    assert read_by(allowed) == first
    assert report_of(result(allowed, "report")["run_uri"])["counts"]["unchanged"] == 2
    assert len(mailchimp.members()) == 2


def test_a_refresh_that_is_gone(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """An export that asks for it says that it is gone, and removes nobody."""
    first = place.refreshed()
    shutil.rmtree(place.file.parent / "snapshots" / first)
    assert place.run(EXPORT, refresh=first).state == "failed"
    assert f"There is no finished refresh '{first}'" in " ".join(caplog.text.split())


@pytest.mark.skipif(
    find_spec("airflow.providers.sqlite") is None, reason="it needs Airflow's provider of SQLite"
)
def test_profiles_in_a_database(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A condition is run by the database that has the profiles, and a query by the one that it names."""
    path = place.file.with_name("crm.sqlite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (email TEXT, spent INT)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?)", map(tuple, PEOPLE.to_pandas().values.tolist())
        )
        connection.commit()
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    (place.file.with_name("few.sql")).write_text(
        "SELECT email\nFROM people\nWHERE spent < 300 -- the least\n"
    )
    place.file.write_text(
        "profiles: {conn_id: crm, table: people}\nsnapshots: snapshots\nsegments:\n"
        "  vip: {name: VIP, where: spent >= 800}\n  few: {name: Few, sql: few.sql, conn_id: crm}\n"
        "exports:\n  vip_to_mailchimp: {email: email, segments: [vip, few], delivery: direct}\n"
    )
    refresh = place.snapshots.read(place.refreshed())
    assert {one.name: one.rows for one in refresh.segments} == {"VIP": 2, "Few": 3}
    exported = place.run(EXPORT)
    assert read_by(exported) == refresh.id
    segments = report_of(result(exported, "report")["run_uri"])["segments"]
    assert {name: segment["rows"] for name, segment in segments.items()} == {"VIP": 2, "Few": 3}
