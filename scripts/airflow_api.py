"""An Airflow that runs, by its REST API: as the administrator, for tests and for the demo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests

from scripts.services import ServiceError

HEALTHY_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
FINISHED = ("success", "failed")
LOCKED_PAUSES = (1.0, 2.0, 4.0)
"""Seconds before the metastore is asked again."""


class AirflowApi:
    """What a user can ask of Airflow and tell it.

    :param url: the address of the UI.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._user = user
        self._password = password
        self._session = requests.Session()

    def healthy(self) -> bool:
        """Whether all components are well now."""
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in HEALTHY_PARTS)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API; returned is what it answers.

        Where the metastore, an SQLite that several processes write, was locked, nothing was done: it is tried again.

        :param path: what follows ``/api/v2``.
        :raises requests.HTTPError: the API refused.
        """
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"
        for pause in (*LOCKED_PAUSES, None):
            answer = self._session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=60)
            if pause is None or answer.status_code != 500 or "Database error" not in answer.text:
                break
            time.sleep(pause)
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
        self.switch_on(dag_id)
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        return str(run["dag_run_id"])

    def switch_on(self, dag_id: str) -> None:
        """Wait until Airflow knows a DAG, and let it run."""
        self.wait_for_dag(dag_id)
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

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

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _token(self) -> str:
        answer = requests.post(
            f"{self.url}/auth/token", json={"username": self._user, "password": self._password}, timeout=60
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])
