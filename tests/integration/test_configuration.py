"""Entries of exports.yaml that come, change, break and go while Airflow runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.integration.conftest import FirstExport
from tests.live_airflow import EXPORT, PROFILES, REFRESH, until

pytestmark = pytest.mark.timeout(900)

NEW = "gold_export"
SEGMENT = "  gold:\n    name: Gold\n    where: loyalty_tier = 'gold' AND email LIKE '%@%' {more}\n"
ENTRY = f"  {NEW}:\n    segments: [gold]\n    email: email\n    delivery: direct\n"
VANISHING = 300.0
"""Seconds within which Airflow takes a DAG for gone that is in no file any more; it looks at most once a minute."""
BROKEN = "  mistyped:\n    segments: [goold]\n    email: email\n"


@dataclass
class Configured:
    """The exports.yaml of a running Airflow."""

    airflow: AirflowStack
    sandbox: Sandbox
    file: Path
    shipped: str

    def write(self, *, more: str = "", entries: str = ENTRY, segment: str = SEGMENT) -> None:
        """Put a segment and entries into the file, beside what is shipped."""
        segments, defaults, rest = self.shipped.partition("\n# What every export has")
        new = f"{segments.rstrip()}\n{segment.format(more=more)}{defaults}{rest.rstrip()}\n{entries}"
        self.file.with_name("exports.new").write_text(new, encoding="utf-8")
        self.file.with_name("exports.new").replace(self.file)

    def refresh(self) -> int:
        """Refresh the segments once they are what the file says, and wait for the export; returned are its people."""
        earlier = len(self.runs())
        assert self.airflow.run_dag(REFRESH)["state"] == "success"
        run = until(lambda: self.runs()[earlier:], timeout=120)[0]
        assert self.airflow.wait_for_run(NEW, run["dag_run_id"])["state"] == "success"
        return {tag["name"]: tag["members"] for tag in self.sandbox.audience()["tags"]}["Gold"]

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs of the new export, the first first."""
        runs: list[dict[str, Any]] = self.airflow.call("GET", f"/dags/{NEW}/dagRuns?order_by=run_after")[
            "dag_runs"
        ]
        return runs

    def known(self, dag_id: str) -> bool:
        """Whether Airflow offers a DAG now."""
        return bool(self.airflow.call("GET", f"/dags?dag_id_pattern={dag_id}")["dags"])

    def import_errors(self) -> list[dict[str, Any]]:
        """Return what Airflow shows as import errors."""
        errors: list[dict[str, Any]] = self.airflow.call("GET", "/importErrors")["import_errors"]
        return errors


@pytest.fixture
def configured(airflow: AirflowStack, first_export: FirstExport, audience: Sandbox) -> Iterator[Configured]:
    """The shipped file, which is back in the end, over the shipped profiles."""
    shutil.copy(PROFILES, airflow.settings["CUSTOMER_PROFILES"])
    file = airflow.home.parent / "dags" / "exports.yaml"
    shipped = file.read_text(encoding="utf-8")
    airflow.call("PATCH", f"/dags/{EXPORT}", {"is_paused": True})
    found = Configured(airflow, audience, file, shipped)
    yield found
    file.write_text(shipped, encoding="utf-8")
    airflow.call("PATCH", f"/dags/{REFRESH}", {"is_paused": True})
    airflow.call("PATCH", f"/dags/{EXPORT}", {"is_paused": False})
    until(lambda: not found.import_errors() and not found.known(NEW), timeout=VANISHING)


def test_the_life_of_an_entry(configured: Configured) -> None:
    """A new entry runs nothing until it is switched on; then it follows each refresh, as edited, until it is gone.

    Another entry with a mistake is an import error that names it, and takes no DAG down meanwhile.
    """
    airflow = configured.airflow
    configured.write(entries=ENTRY + BROKEN)
    airflow.wait_for_dag(NEW)
    assert airflow.call("GET", f"/dags/{NEW}")["is_paused"] is True
    assert configured.runs() == []

    (error,) = until(configured.import_errors)
    assert error["filename"] == "mailchimp_exports_check.py"
    assert (
        "exports.mistyped.segments[0]: 'goold' is no segment (did you mean 'gold'?)" in error["stack_trace"]
    )

    # The refresh has no task of the segment's own, and reads the file when it runs.
    airflow.call("PATCH", f"/dags/{NEW}", {"is_paused": False})
    everybody = configured.refresh()
    assert everybody > 100

    # Tasks read the file themselves, so the edit holds from the next one on.
    configured.write(more="AND email >= 'b'")
    until(lambda: not configured.import_errors())
    assert 0 < configured.refresh() < everybody

    configured.write(entries="")
    until(lambda: not configured.known(NEW), timeout=VANISHING)
    assert configured.known(EXPORT)
