"""docs/many-machines.md names settings of docker-compose.yaml and of Airflow, each with its value."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.docs.pages import REPOSITORY, page, spans

COMPOSE = (REPOSITORY / "docker-compose.yaml").read_text(encoding="utf-8")
EXAMPLE = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
PAGE = page("many-machines")


@pytest.fixture
def worker() -> dict[str, Any]:
    """The service of the workers."""
    service: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]["worker"]
    return service


def test_settings() -> None:
    """Every setting of .env that the page names is one of the example and of the file."""
    named = {span for span in spans(PAGE.prose) if re.fullmatch(r"[A-Z]+(_[A-Z]+)*", span)} - {"HERE"}
    shown = {
        line.partition("=")[0]
        for block in PAGE.blocks
        if "EXPORTS_ROOT=" in block.code
        for line in block.code.splitlines()
    }
    assert len(named) > 5
    assert len(shown) == 3
    for name in named | shown:
        assert re.search(rf"^#?{name}=", EXAMPLE, re.MULTILINE), name
        assert re.search(rf"\$\{{{name}\b|^ +{name}:$", COMPOSE, re.MULTILINE), name


def test_time_outs(worker: dict[str, Any]) -> None:
    """The table of settings has the values of the file, or what Airflow does anyway."""
    from airflow.configuration import conf

    rows = dict(
        row[:2] for row in PAGE.table("When a worker dies", "setting", "in docker-compose.yaml", "why")
    )
    heartbeat = rows["`[scheduler] task_instance_heartbeat_timeout`"]
    assert f"TASK_HEARTBEAT_TIMEOUT={heartbeat}\n" in EXAMPLE
    assert f"${{TASK_HEARTBEAT_TIMEOUT:-{heartbeat}}}" in COMPOSE
    timeout = rows["`[celery_broker_transport_options] visibility_timeout`"]
    broker = worker["environment"]["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]
    assert timeout == broker
    assert float(conf.get("scheduler", "task_queued_timeout")) == float(
        re.findall(r"\d+", rows["`[scheduler] task_queued_timeout`"])[0]
    )
    assert worker["stop_grace_period"] == rows["`stop_grace_period` of the workers"].replace(" minutes", "m")


def test_what_airflow_does_anyway() -> None:
    """The page names Airflow's own time-out and its limit of signs of life rightly."""
    from airflow.configuration import conf

    assert f"{conf.get('scheduler', 'task_instance_heartbeat_timeout')} by Airflow itself" in PAGE.prose
    assert conf.getint("workers", "max_failed_heartbeats") == 3
    assert conf.getint("workers", "min_heartbeat_interval") == 5
