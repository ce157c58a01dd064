"""A whole Airflow of its own: metastore, API server, scheduler, DAG processor and triggerer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from scripts.airflow_environment import PASSWORD, USER, airflow_environment
from scripts.services import LOOPBACK, Service, ServiceError, free_port, last_lines, stop_all

REPOSITORY = Path(__file__).resolve().parent.parent
DAGS = REPOSITORY / "dags"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
POOL = "mailchimp"
HEALTHY_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
FINISHED = ("success", "failed")


@dataclass(slots=True)
class AirflowStack:
    """Airflow in a folder of its own, on ports of its own; nothing is shared with another installation.

    :param home: AIRFLOW_HOME; made where it is missing.
    :param dags: the folder with the DAG files.
    :param port: of the UI and the API; 0 takes a free one.
    :param settings: further environment variables, such as connections.
    """

    home: Path
    dags: Path = DAGS
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    services: list[Service] = field(default_factory=list, init=False)
    environment: dict[str, str] = field(init=False)
    _session: requests.Session = field(default_factory=requests.Session, init=False)

    def __post_init__(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = free_port(self.port)
        ours = {**airflow_environment(self.home, self.dags, self.port), "MAILCHIMP_POOL": POOL}
        self.environment = {**ours, **self.settings}

    def __enter__(self) -> Self:
        try:
            self.migrate()
            self.start()
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the UI."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def logs(self) -> Path:
        """Where the output of the programs goes."""
        return self.home / "output"

    def cli(self, *arguments: str, timeout: float = 600) -> Path:
        """Run an Airflow command to its end; returned is the file with its output.

        :raises ServiceError: the command failed.
        """
        log = self.logs / f"{'-'.join(arguments[:3])}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        service = Service(
            f"airflow {' '.join(arguments)}", _airflow(*arguments), environment=self.environment, log=log
        )
        try:
            code = service.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"{service.name} took longer than {timeout:.0f} s.") from error
        finally:
            service.stop()
        if code:
            raise ServiceError(f"{service.name} ended with exit code {code}.\n{last_lines(log)}")
        return log

    def migrate(self) -> None:
        """Make the metastore, and the log-in."""
        passwords = self.home / "simple_auth_manager_passwords.json.generated"
        passwords.write_text(json.dumps({USER: PASSWORD}))
        passwords.chmod(0o600)
        self.cli("db", "migrate")

    def start(self) -> None:
        """Start every component as a process of its own."""
        for component in COMPONENTS:
            log = self.logs / f"{component}.log"
            self.services.append(
                Service(f"Airflow's {component}", _airflow(component), environment=self.environment, log=log)
            )

    def stop(self) -> None:
        """Stop every component and what it started."""
        stop_all(self.services)
        self.services.clear()
        self._session.close()

    def wait_until_healthy(self, timeout: float = 180) -> None:
        """Wait until all components say that they are well.

        :raises ServiceError: one of them ended, or they take too long.
        """
        deadline = time.monotonic() + timeout
        while not self.healthy():
            for service in self.services:
                service.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"Airflow is not healthy after {timeout:.0f} s; see {self.logs}.")
            time.sleep(0.3)
        self._make_pool()

    def _make_pool(self) -> None:
        """Make the pool through which the exports of one account share its connections."""
        pool = {"name": POOL, "slots": 10, "description": "Connections to Mailchimp"}
        if POOL not in [known["name"] for known in self.call("GET", "/pools")["pools"]]:
            self.call("POST", "/pools", pool)

    def healthy(self) -> bool:
        """Whether all components are well now."""
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in HEALTHY_PARTS)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API as the administrator; returned is what it answers.

        :param path: what follows ``/api/v2``.
        :raises requests.HTTPError: the API refused.
        """
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"
        answer = self._session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=60)
        if not answer.ok:
            raise requests.HTTPError(f"{method} {path}: {answer.status_code} {answer.text}", response=answer)
        return answer.json() if answer.content else None

    def run_dag(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, *, timeout: float = 300
    ) -> dict[str, Any]:
        """Switch a DAG on, run it once through the scheduler and wait for its end; returned is the run.

        :raises ServiceError: the run does not end in time.
        """
        run_id = self.trigger(dag_id, conf)
        return self.wait_for_run(dag_id, run_id, timeout=timeout)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Switch a DAG on and start a run of it; returned is the run's id."""
        self.wait_for_dag(dag_id)
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60) -> None:
        """Wait until the DAG processor has read the DAG.

        :raises ServiceError: it has not in time.
        """
        deadline = time.monotonic() + timeout
        while not self.call("GET", f"/dags?dag_id_pattern={dag_id}")["dags"]:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"Airflow does not know the DAG {dag_id}: {self.call('GET', '/importErrors')}"
                )
            time.sleep(0.3)

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 300) -> dict[str, Any]:
        """Wait for the end of a run; returned is the run.

        :raises ServiceError: it does not end in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            run: dict[str, Any] = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
            if run["state"] in FINISHED:
                return run
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"The run {run_id} of {dag_id} is still {run['state']} after {timeout:.0f} s."
                )
            time.sleep(0.2)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The state of every task of a run."""
        tasks = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in tasks}

    def _token(self) -> str:
        answer = requests.post(
            f"{self.url}/auth/token", json={"username": USER, "password": PASSWORD}, timeout=60
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]
