"""An export that asks, in a whole Airflow: the question is there, and an answer by the REST API decides."""

from __future__ import annotations

import time
from typing import Any

import pytest

from scripts.airflow_api import FINISHED
from tests.integration.test_configuration import ENTRY, NEW, SEGMENT, Configured, configured
from tests.live_airflow import REFRESH, until

__all__ = ["configured"]

pytestmark = pytest.mark.timeout(1500)

ASKING = "asking_export"
AS_HUMANS_DO = 15.0
ENTRIES = f"{ENTRY}    schedule: by_hand\n    approval: always\n".replace(NEW, ASKING).replace(
    "gold", "silver"
)
SILVER = SEGMENT.replace("gold", "silver").replace("Gold", "Silver")


def test_an_answer_decides(configured: Configured) -> None:
    """A no skips the export, and a yes lets it send what was shown; nobody's address is in the question."""
    airflow, sandbox = configured.airflow, configured.sandbox
    configured.write(entries=ENTRIES, segment=SILVER)
    airflow.wait_for_dag(ASKING)
    airflow.call("PATCH", f"/dags/{ASKING}", {"is_paused": False})
    assert airflow.run_dag(REFRESH)["state"] == "success"

    before = len(sandbox.members())
    states = answered(configured, "Reject")
    assert (states["approve"], states["export"], states["report"]) == ("success", "skipped", "skipped")
    assert len(sandbox.members()) == before

    states = answered(configured, "Approve")
    assert set(states.values()) == {"success"}
    assert {tag["name"]: tag["members"] for tag in sandbox.audience()["tags"]}["Silver"] > 100


def answered(configured: Configured, answer: str) -> dict[str, str]:
    """Start a run, answer its question, and return how its tasks ended."""
    airflow = configured.airflow
    run_id = airflow.call("POST", f"/dags/{ASKING}/dagRuns", {"logical_date": None})["dag_run_id"]
    place = f"/dags/{ASKING}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"

    def question() -> dict[str, Any]:
        if airflow.task_states(ASKING, run_id).get("approve") not in {"awaiting_input", "deferred"}:
            return {}
        found: dict[str, Any] = airflow.call("GET", place)
        return found

    asked = until(question, timeout=120)
    assert f"Run export {ASKING}.export?" == asked["subject"]
    assert "| Silver |" in asked["body"]
    assert "@" not in asked["body"]

    def is_over() -> bool:
        if not question().get("response_received", True):
            # As long as any human takes: Airflow tries a task again that goes on before its pause has come to its
            # executor, and asks again.
            time.sleep(AS_HUMANS_DO)
            airflow.call("PATCH", place, {"chosen_options": [answer], "params_input": {}})
        return airflow.call("GET", f"/dags/{ASKING}/dagRuns/{run_id}")["state"] in FINISHED

    until(is_over, timeout=600)
    states: dict[str, str] = airflow.task_states(ASKING, run_id)
    return states
