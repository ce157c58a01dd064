"""Exports on two workers that share nothing but a storage, one of which dies in the middle of its work."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from airflow_mailchimp_export.settings.connection import MAX_CONNECTIONS
from tests.integration.machines.conftest import CONNECTIONS, Machines
from tests.integration.machines.natively import Instance
from tests.integration.machines.profiles import REGIONS, standing, write_profiles
from tests.integration.machines.storages import FOLDER, S3_STORE
from tests.live_airflow import returned
from tests.live_airflow import until as seen_until

pytestmark = pytest.mark.timeout(600)

BEFORE = dict.fromkeys(REGIONS, "before")
AFTER = {**BEFORE, "north": "after"}
CHUNK = 500
BULK_CALLS = "/lists/*"
FOR_EVER = 1_000_000
DIRECT = ("north", "south", "west")
AGAIN = ("north", "south")
"""Who is exported a second time: one whose people have changed, and one beside it."""
DATABASE_FILES = ("airflow.db", "airflow.db-shm", "airflow.db-wal")


until = partial(seen_until, timeout=300)


def newest_run(machines: Machines, dag_id: str) -> str:
    """Find the newest run of a DAG, if there is one."""
    runs = machines.airflow.call("GET", f"/dags/{dag_id}/dagRuns?order_by=-run_after&limit=1")["dag_runs"]
    return str(runs[0]["dag_run_id"]) if runs else ""


def refresh(machines: Machines, regions: Collection[str]) -> dict[str, str]:
    """Build the segments, and find the runs of these exports that this starts; the others are switched off."""
    for region in REGIONS:
        machines.airflow.wait_for_dag(region, timeout=300)
        machines.airflow.call("PATCH", f"/dags/{region}", {"is_paused": region not in regions})
    before = {region: newest_run(machines, region) for region in regions}
    run = machines.airflow.run_dag("refresh")
    assert run["state"] == "success"
    return {
        region: until(lambda region=region: _other_than(before[region], newest_run(machines, region)))
        for region in before
    }


def _other_than(old: str, new: str) -> str:
    return "" if new == old else new


def wait_for(machines: Machines, runs: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Wait for the end of all exports; what their reports say."""
    for region, run_id in runs.items():
        run = machines.airflow.wait_for_run(region, run_id)
        assert run["state"] == "success", machines.airflow.task_states(region, run_id)
    return {
        region: returned(machines.airflow, region, run_id, "report")["counts"]
        for region, run_id in runs.items()
    }


def audience(machines: Machines) -> dict[str, tuple[str, list[str], str]]:
    """Everyone's status, tags and last name."""
    return {
        member["email"]: (member["status"], member["tags"], member["merge_fields"]["LNAME"])
        for member in machines.sandbox.members()
    }


def in_flight(machines: Machines) -> int:
    """How many calls Mailchimp has not answered yet."""
    return int(machines.sandbox.stats()["in_flight"]["now"])


def handled(machines: Machines) -> int:
    """How many members Mailchimp has taken from bulk calls."""
    return int(machines.sandbox.stats()["member_rows"]["handled"])


def statuses(machines: Machines) -> set[str]:
    """With what Mailchimp has answered."""
    return {status for counts in machines.sandbox.stats()["requests"].values() for status in counts}


@pytest.fixture(scope="module")
def first_exports(machines: Machines) -> dict[str, dict[str, Any]]:
    """Export everything once, held at the moment when as many calls are in flight as there can be."""
    machines.sandbox.reset()
    machines.sandbox.change(latency_per_member=FOR_EVER, timeout=FOR_EVER)
    runs = refresh(machines, REGIONS)
    until(lambda: in_flight(machines) == CONNECTIONS * len(DIRECT))
    machines.sandbox.change(latency_per_member=0)
    return wait_for(machines, runs)


# The programs are the same with either storage, and some of the checks take seconds.
@pytest.mark.parametrize("storage", [FOLDER], indirect=True)
def test_all_programs_are_well(machines: Machines) -> None:
    """Each program with a health check of its own says so by it."""
    checked = [instance for instance in machines.topology.instances if instance.health]
    assert {instance.program.name for instance in checked} == machines.topology.programs.keys() - {
        "postgres",
        "init",
    }
    with ThreadPoolExecutor(2) as pool:
        until(lambda: not any(pool.map(Instance.sickness, checked)))


def test_several_exports_at_once(machines: Machines, first_exports: dict[str, dict[str, Any]]) -> None:
    """Three exports have nine connections at the same time, a fourth waits, and all end up in the audience."""
    stats = machines.sandbox.stats()
    assert stats["in_flight"]["max"] == CONNECTIONS * len(DIRECT)
    assert statuses(machines) == {"200"}
    assert audience(machines) == standing(names=BEFORE)
    for region, people in REGIONS.items():
        assert first_exports[region]["created"] == first_exports[region]["rows_read"] == people


def test_nothing_else_is_shared(machines: Machines, first_exports: dict[str, dict[str, Any]]) -> None:
    """Workers of a folder have exports and segments in common, those of an object store no disk at all."""
    kept = {entry.name for entry in os.scandir(machines.topology.volume("shared"))}
    assert kept == (set() if machines.storage == S3_STORE else {"exports", "segments"})


def test_both_workers_work(machines: Machines, first_exports: dict[str, dict[str, Any]]) -> None:
    """Tasks of the exports ran on either worker, and none keeps anything of an export at home."""
    for worker in machines.topology.all_of("worker"):
        assert list((worker.home / "logs").glob("dag_id=*/run_id=*/task_id=*/attempt=1.log"))
        assert {entry.name for entry in os.scandir(worker.home)} <= {"logs", "airflow.cfg", *DATABASE_FILES}


@pytest.fixture
def held_in_the_middle(
    machines: Machines, first_exports: dict[str, dict[str, Any]]
) -> Iterator[dict[str, str]]:
    """Export once more with new names in the north; half of it is answered, and the rest waits."""
    machines.sandbox.control("stats/reset", {})
    machines.sandbox.change(fault_delay=FOR_EVER)
    held = {"method": "POST", "path": BULK_CALLS, "answer": "delay", "count": -1, "skip": CONNECTIONS}
    machines.sandbox.control("faults", held)
    write_profiles(machines.profiles, names=AFTER)
    yield refresh(machines, AGAIN)
    machines.sandbox.control("faults/clear", {})


def test_a_worker_dies_in_the_middle(machines: Machines, held_in_the_middle: dict[str, str]) -> None:
    """The export is completed on the other worker, everybody is in place, and every row accounted for once."""
    runs, run_id = held_in_the_middle, held_in_the_middle["north"]
    until(lambda: handled(machines) == CONNECTIONS * CHUNK and in_flight(machines) == CONNECTIONS)
    first = until(lambda: machines.worker_of("north", run_id, "export", attempt=1))
    first.kill()
    machines.sandbox.control("faults/clear", {})
    machines.sandbox.change(fault_delay=0)
    counts = wait_for(machines, runs)
    second = machines.worker_of("north", run_id, "export", attempt=2)
    assert second is not None
    assert second.home != first.home
    assert audience(machines) == standing(names=AFTER)
    for region in AGAIN:
        assert counts[region]["rows_read"] == REGIONS[region]
        assert counts[region]["updated"] + counts[region]["unchanged"] == REGIONS[region]
    check_sent_again(machines)
    pool = machines.airflow.call("GET", f"/pools/{machines.pool}")
    assert pool["open_slots"] == pool["slots"] == MAX_CONNECTIONS


def check_sent_again(machines: Machines) -> None:
    """Nobody is sent again but who was in flight, or on a store that keeps only whole objects, not kept yet."""
    rows = machines.sandbox.stats()["member_rows"]
    again = rows["handled"] - rows["distinct"]
    assert rows["distinct"] == REGIONS["north"]
    assert again <= (2 * CONNECTIONS if machines.storage == S3_STORE else CONNECTIONS) * CHUNK
