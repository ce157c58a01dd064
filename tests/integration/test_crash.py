"""Exports whose process is killed for real, at points all over an export, and which Airflow then retries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from airflow_mailchimp_export.state.run import REPORT
from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox, start_sandbox, to_environment
from tests.kit.people import hash_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

POINTS = 30
PEOPLE = 20_000
EARLY = range(15_000)
LATE = range(10_000, PEOPLE)
LEAVERS = range(PEOPLE, PEOPLE + 1_000)
CHUNK = 500
CONNECTIONS = 3
AT_ONCE = 3
NAMES = ("whole", *(f"{point:02}" for point in range(POINTS)))
DAGS = Path(__file__).with_name("crash_dags")
# Calls overlap, as they do in earnest, so that there is something in flight when the process dies.
LATENCY = "0.02"
SANDBOX = (
    "--batch-pending",
    "0",
    "--batch-preprocessing",
    "0",
    "--batch-finalizing",
    "0",
    "--latency",
    LATENCY,
)


@dataclass(frozen=True)
class Scene:
    """A whole Airflow, a sandbox, and the folder with sources and exports."""

    airflow: AirflowStack
    sandbox: Sandbox
    place: Path

    def report(self, run_uri: str) -> dict[str, Any]:
        """Read the report of a run."""
        report: dict[str, Any] = json.loads((Path(run_uri) / REPORT).read_text(encoding="utf-8"))
        return report

    def events(self, export: str) -> list[dict[str, Any]]:
        """Read what the processes of an export did, in order."""
        text = (self.place / f"{export}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Airflow with the exports that die, each with people of its own."""
    place = tmp_path_factory.mktemp("crash")
    sandbox = start_sandbox(place / "sandbox.log", options=SANDBOX)
    try:
        for delivery in ("direct", "batch"):
            write_segments(place / "segments", delivery)
        settings = {
            "AIRFLOW_CONN_MAILCHIMP_DEFAULT": to_environment(sandbox.connection(max_connections=CONNECTIONS)),
            "AIRFLOW__CORE__PARALLELISM": str(AT_ONCE),
            # The DAGs do not change; reading them again and again would only cost time.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            "CRASH_PLACE": str(place),
            "CRASH_PORT": str(urlsplit(sandbox.url).port),
            "CRASH_POINTS": str(POINTS),
        }
        preload(place / "airflow")
        with AirflowStack(place / "airflow", dags=DAGS, settings=settings) as airflow:
            yield Scene(airflow, sandbox, place)
    finally:
        sandbox.stop()


def preload(home: Path) -> None:
    """Let Airflow import the large libraries before it forks its workers, of which there are many here.

    https://airflow.apache.org/docs/apache-airflow/stable/howto/set-config.html#configuring-local-settings
    """
    (home / "config").mkdir(parents=True)
    libraries = "from __future__ import annotations\n\nimport duckdb\nimport pyarrow.compute\nimport pyarrow.parquet\n"
    (home / "config" / "airflow_local_settings.py").write_text(libraries, encoding="utf-8")


def write_segments(folder: Path, delivery: str) -> None:
    """Write the two overlapping segments of each export, as Parquet."""
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        for segment, numbers in (("early", EARLY), ("late", LATE)):
            columns = {
                "email": [address(delivery, name, number) for number in numbers],
                "first_name": [f"Çelik {number}" for number in numbers],
                # Long names make more than one batch of an export.
                "last_name": [last_name(number) for number in numbers],
            }
            pq.write_table(pa.table(columns), folder / f"{delivery}.{name}.{segment}.parquet")


def address(delivery: str, name: str, number: int) -> str:
    """Make the address of a person, by which the person is known again."""
    return f"{number}.{name}.{delivery}@brieftaube.eu"


def last_name(number: int) -> str:
    """Make a name that is long, and nobody else's."""
    return f"{number} {'von und zu ' * 15}Ende"


def tags(delivery: str, name: str, number: int) -> set[str]:
    """Work out which tags a person has to carry in the end."""
    segments = (("early", EARLY), ("late", LATE))
    return {f"{segment} {delivery} {name}" for segment, numbers in segments if number in numbers}


def put_leavers(sandbox: Sandbox, delivery: str) -> None:
    """Let some people carry the tags of each export who are in none of its segments."""
    for name in NAMES:
        rows = [
            {
                "email": address(delivery, name, number),
                "status": "subscribed",
                "tags": [f"late {delivery} {name}"],
            }
            for number in LEAVERS
        ]
        url = f"{sandbox.url}/sandbox/members"
        requests.post(url, json={"members": rows}, timeout=60).raise_for_status()


@pytest.mark.parametrize("delivery", ["direct", "batch"])
def test_killed_at_thirty_points(delivery: str, scene: Scene) -> None:
    """Killed anywhere and retried, exports put everybody in place, and send again only what was in flight."""
    scene.sandbox.reset()
    put_leavers(scene.sandbox, delivery)
    started = time.monotonic()
    run = scene.airflow.run_dag(f"dies_by_{delivery}", timeout=1500)
    seconds = time.monotonic() - started
    assert run["state"] == "success", scene.airflow.task_states(run["dag_id"], run["dag_run_id"])
    check_audience(scene.sandbox, delivery)
    deaths = [death(scene, f"{delivery}.{name}") for name in NAMES[1:]]
    assert len({(one["phase"], one["number"]) for one in deaths}) == POINTS
    twice = {name: sent_twice(scene, f"{delivery}.{name}") for name in NAMES}
    for name in NAMES:
        check_account(scene, run["dag_run_id"], delivery, name)
        check_ledger(scene, delivery, name)
        assert twice[name] <= most_in_flight(scene, delivery, name), name
    rows = scene.sandbox.stats()["member_rows"]
    again = rows["handled"] - rows["distinct"]
    assert again <= sum(twice.values())
    print(f"\n{delivery}: {POINTS} kills, {seconds:.0f} s, {again:,} members sent twice")
    for name, one in zip(NAMES[1:], deaths, strict=True):
        print(f"  {one['phase']:<16} event {one['number']:>3} before {one['before']:<16} {twice[name]:>6,}")


def check_audience(sandbox: Sandbox, delivery: str) -> None:
    """Everybody is there once, with the tags and names of their profiles; who left has no tag."""
    seen = 0
    url = f"{sandbox.url}/sandbox/members"
    with requests.get(url, params={"format": "jsonl"}, stream=True, timeout=60) as answer:
        for line in answer.iter_lines(chunk_size=1_000_000):
            member = orjson.loads(line)
            number, name, _ = member["email"].partition("@")[0].split(".")
            assert member["status"] == "subscribed"
            assert set(member["tags"]) == tags(delivery, name, int(number))
            if int(number) not in LEAVERS:
                names = {"FNAME": f"Çelik {number}", "LNAME": last_name(int(number))}
                assert member["merge_fields"] == names
            seen += 1
    assert seen == len(NAMES) * (PEOPLE + len(LEAVERS))


def death(scene: Scene, export: str) -> dict[str, Any]:
    """Find where an export died; it did so once, on its first try, and lived on its second."""
    events = scene.events(export)
    (killed,) = [event for event in events if event["event"] == "killed"]
    assert killed["attempt"] == 1
    assert {event["attempt"] for event in events} == {1, 2}
    return killed


def sent_twice(scene: Scene, export: str) -> int:
    """Count the members that the processes of an export sent beyond those that had to be sent."""
    return sum(event.get("members", 0) for event in scene.events(export)) - PEOPLE


def most_in_flight(scene: Scene, delivery: str, name: str) -> int:
    """Count the members that may have been in flight when the export died."""
    if name == "whole":
        return 0
    if delivery == "direct":
        return CONNECTIONS * CHUNK
    return max(event.get("members", 0) for event in scene.events(f"{delivery}.{name}"))


def check_account(scene: Scene, run_id: str, delivery: str, name: str) -> None:
    """The final report counts every row once, and whom the attempt before it had sent as unchanged."""
    path = f"/dags/dies_by_{delivery}/dagRuns/{run_id}/taskInstances/export_{name}/xcomEntries/return_value"
    told = scene.airflow.call("GET", f"{path}?deserialize=true")["value"]
    report = scene.report(told["run_uri"])
    counts = report["counts"]
    assert (report["verdict"], counts) == ("success", told["counts"])
    assert counts["rows_read"] == len(EARLY) + len(LATE)
    assert counts["merged"] == counts["rows_read"] - PEOPLE
    assert counts["created"] + counts["updated"] + counts["unchanged"] == PEOPLE
    # Who was removed and could not be confirmed before the end is removed once more.
    attempts = [
        scene.report(str(folder.parent)) for folder in Path(told["run_uri"]).parent.glob(f"*/{REPORT}")
    ]
    assert counts["removed"] <= len(LEAVERS) <= sum(attempt["counts"]["removed"] for attempt in attempts)
    others = ("rejected", "suppressed", "unconfirmed", "removal_failed")
    assert {counts[effect] for effect in others} == {0}


def check_ledger(scene: Scene, delivery: str, name: str) -> None:
    """The ledger of an export holds its people and their tags, and nobody who left."""
    ledger = pq.read_table(scene.place / "exports" / f"{delivery}.{name}" / "ledger.parquet")
    held = zip(*(ledger[column].to_pylist() for column in ("subscriber_hash", "state", "tags")), strict=True)
    expected = {hash_of(address(delivery, name, number)): number for number in range(PEOPLE)}
    assert ledger.num_rows == PEOPLE
    for subscriber_hash, state, carried in held:
        assert state == "member"
        assert set(carried) == tags(delivery, name, expected.pop(subscriber_hash))
