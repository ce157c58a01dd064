"""Where runs keep their files while nothing says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.airflow.people import crowd, write_segments
from tests.airflow.runs import context_of, one_task

if TYPE_CHECKING:
    from scripts.sandbox_service import Sandbox

PEOPLE = {"VIP": crowd("vip", 3)}
WORDS = "set [mailchimp] exports_root in Airflow's configuration to a place that all workers share"


@pytest.fixture(autouse=True)
def unset_root(mailchimp: Sandbox, airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Airflow of its own home, whose configuration names no exports_root."""
    monkeypatch.delenv("AIRFLOW__MAILCHIMP__EXPORTS_ROOT")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))


def warnings_of_two_runs(folder: Path, caplog: pytest.LogCaptureFixture, **settings: str) -> list[str]:
    """Make two runs, and return what they warn of that has to do with exports_root."""
    export = one_task(segments=write_segments(folder, PEOPLE), delivery="direct", **settings).task_dict[
        "export"
    ]
    with caplog.at_level("WARNING"):
        for _ in range(2):
            export.execute(context_of(export))
    return [record.getMessage() for record in caplog.records if "exports_root" in record.getMessage()]


@pytest.mark.parametrize(
    ("executor", "named"),
    [
        ("CeleryExecutor", "CeleryExecutor"),
        ("KubernetesExecutor", "KubernetesExecutor"),
        ("airflow.providers.edge3.executors.EdgeExecutor", "EdgeExecutor"),
        ("LocalExecutor,CeleryExecutor", "CeleryExecutor"),
        ("LocalExecutor; team=pods:airflow.providers.cncf.KubernetesExecutor", "KubernetesExecutor"),
        ("KubernetesExecutor,CeleryExecutor", "CeleryExecutor and the KubernetesExecutor"),
    ],
)
def test_workers_without_a_common_disk_are_warned_of(
    executor: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the next run may not find the ledger, every run warns, and names executor, place and setting."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    told = warnings_of_two_runs(tmp_path, caplog)
    assert len(told) == 2
    assert all(WORDS in words and f"workers of the {named} do not" in words for words in told)
    assert str(tmp_path / "home" / "mailchimp_exports") in told[0]


def test_a_pod_of_the_kubernetes_executor_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Inside such a pod the configuration says LocalExecutor; what Airflow sets there gives it away."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("AIRFLOW_IS_K8S_EXECUTOR_POD", "True")
    assert "KubernetesExecutor" in warnings_of_two_runs(tmp_path, caplog)[0]


@pytest.mark.parametrize(
    "root", [{}, {"exports_root": "{folder}/kept"}], ids=["one disk", "a place is named"]
)
def test_nothing_is_said_without_need(
    root: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All tasks of a LocalExecutor share a disk, and a place that was named is the user's choice."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor" if root else "LocalExecutor")
    given = {name: value.format(folder=tmp_path) for name, value in root.items()}
    assert warnings_of_two_runs(tmp_path, caplog, **given) == []
