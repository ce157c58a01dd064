"""What the page of a task shows of an export that failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.live_airflow import CONNECTION, EXPORT, REFRESH, connection_body, until

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_refused_export_shows_what_to_do(
    page: Page, airflow: AirflowStack, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The log names what happened and the remedy, each as an entry of its own, above the frames of Airflow."""
    from playwright.sync_api import expect

    airflow.wait_for_dag(EXPORT)
    assert airflow.run_dag(REFRESH)["state"] == "success"
    blocked = connection_body(sandbox, data_privacy_consent=False)
    airflow.call("PATCH", f"/connections/{CONNECTION}", blocked)
    airflow.call("PATCH", f"/dags/{EXPORT}", {"is_paused": False})
    run = airflow.call("POST", f"/dags/{EXPORT}/dagRuns", {"logical_date": None})["dag_run_id"]
    where = f"/dags/{EXPORT}/dagRuns/{run}"
    until(lambda: airflow.call("GET", where)["state"] == "failed", timeout=240)
    airflow.call("PATCH", f"/connections/{CONNECTION}", connection_body(sandbox))
    page.goto(f"/dags/{EXPORT}/runs/{run}/tasks/export")
    shown = page.get_by_text("Remedy: Whoever is responsible switches it on").first
    expect(shown).to_be_visible()
    page.screenshot(path=tmp_path / "log.png")
    words = page.locator("main, body").first.inner_text()
    (tmp_path / "log.txt").write_text(words, encoding="utf-8")
    assert words.index("Nothing was sent: Connection") < words.index("Remedy: Whoever")
    assert words.index("Remedy: Whoever") < words.index("Task failed with exception")
    assert "During handling of the above" not in words
