"""What is imported by whoever parses a DAG or only waits: every process of Airflow's pays for it again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.people import crowd, write_segments
from tests.airflow.releases import RELEASE
from tests.airflow.runs import submit

if TYPE_CHECKING:
    from scripts.sandbox_service import Sandbox

REPOSITORY = Path(__file__).resolve().parents[2]

LOOK = """
import json, sys
from multiprocessing import get_context
from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator, task

def nothing():
    pass

with DAG("any", schedule="@daily"):
    task(nothing)()

def look(code):
    before = set(sys.modules)
    exec(code, {})
    return sorted(set(sys.modules) - before)

with get_context("fork").Pool(1, maxtasksperchild=1) as pool:
    print("imported:" + json.dumps(pool.map(look, json.loads(sys.argv[1]), chunksize=1)))
"""
"""Has Airflow imported with what any DAG needs, and runs each code in a fork, as its processes do."""

HTTP = {"charset_normalizer", "orjson", "requests", "urllib3"}
"""What talks to Mailchimp, and reads what it answers."""
FILE = {"pycountry", "yaml"}
"""What checks an exports.yaml."""
ASSETS = {"sqlalchemy"}
"""What Airflow imports for assets with an address."""
TRIGGER = {"asgiref", "cachetools", "cron_descriptor", "dill", "sqlalchemy"}
"""What Airflow imports for its operator that starts another DAG, as the one does that runs all exports."""
if RELEASE < (3, 2):
    TRIGGER |= {"tabulate", "wcwidth"}
if RELEASE == (3, 2):
    TRIGGER |= {"alembic", "mako", "pygments"}
if RELEASE >= (3, 4):
    TRIGGER |= {"itsdangerous", "uuid6"}
EXPORTS = "from airflow_mailchimp_export.dags import exports;"
FOR_A_TASK = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": "mailchimp_segment_export"}
"""What Airflow sets where it reads a DAG file for a task."""
MODULES = ["assets", "dags", "hooks", "links", "operators", "published", "sensors", "triggers"]
DAG_FILES = {
    "exports.yaml": f"{EXPORTS} assert len(exports('dags/exports.yaml')) > 2",
    "exports.yaml, for a task": f"import os; os.environ.update({FOR_A_TASK}); {EXPORTS}"
    "assert [*exports('dags/exports.yaml')] == ['mailchimp_segment_export']",
    "example": "import airflow_mailchimp_export.example_dags.example_campaign_after_export",
}


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """The modules that each of these imports in a process of its own."""
    codes = [f"import airflow_mailchimp_export.{name}" for name in MODULES]
    return dict(zip([*MODULES, *DAG_FILES], look([*codes, *DAG_FILES.values()]), strict=True))


def look(codes: Sequence[str]) -> list[list[str]]:
    """Run codes, each in a process of its own in which Airflow is imported, and list what they import beyond it."""
    ran = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(codes)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("imported:"))
    found: list[list[str]] = json.loads(line.removeprefix("imported:"))
    return found


def libraries(modules: Sequence[str]) -> set[str]:
    """The libraries that modules belong to, without Airflow, Python, this package, and what a compiler added."""
    of_python = sys.stdlib_module_names | {"airflow", "airflow_mailchimp_export", "_virtualenv"}
    found = {module.partition(".")[0] for module in modules} - of_python
    return {name for name in found if not name.startswith("_cython_") and not name.endswith("__mypyc")}


@pytest.mark.parametrize(
    ("name", "most", "allowed"),
    [
        ("assets", 10, set()),
        ("links", 10, set()),
        ("published", 20, {"pydantic"}),
        ("hooks", 180, HTTP),
        ("triggers", 200, HTTP | {"pydantic"}),
        ("sensors", 200, HTTP | {"pydantic"}),
        ("operators", 230, HTTP | {"pydantic"}),
        ("dags", 290, HTTP | FILE | {"pydantic"}),
        ("exports.yaml", 550, HTTP | FILE | TRIGGER | {"pydantic"}),
        ("exports.yaml, for a task", 320, HTTP | FILE | {"pydantic"}),
        ("example", 240, HTTP | ASSETS | {"pydantic"}),
    ],
)
def test_an_import_is_light(imported: dict[str, list[str]], name: str, most: int, allowed: set[str]) -> None:
    """Beyond what Airflow has imported anyway come so many modules at most, and of these libraries only.

    Python's encodings, of which requests asks for all, are Airflow's own in some releases, and not counted.
    """
    assert libraries(imported[name]) <= allowed
    assert len([module for module in imported[name] if not module.startswith("encodings.")]) <= most


@pytest.mark.parametrize(
    "code",
    [
        "from airflow_mailchimp_export.sensors import MailchimpBatchSensor as Sensor;"
        "assert Sensor(task_id='wait', batch_ids={batch_ids}).poke({{}})",
        "import asyncio; from airflow_mailchimp_export.triggers import MailchimpBatchTrigger as Trigger;"
        "fired = asyncio.run(anext(Trigger({batch_ids}, pause=0.0, end=0.0).run()));"
        "assert fired.payload['status'] == 'finished', fired.payload",
    ],
)
def test_waiting_is_light(mailchimp: Sandbox, airflow_db: None, tmp_path: Path, code: str) -> None:
    """A sensor that looks, and a trigger that waits, import nothing that reads or plans profiles."""
    submitted: dict[str, Any] = submit(write_segments(tmp_path, {"VIP": crowd("vip", 30)}))
    (modules,) = look([code.format(batch_ids=submitted["batch_ids"])])
    assert not libraries(modules) & {"aiohttp", "duckdb", "numpy", "pandas", "pyarrow"}
