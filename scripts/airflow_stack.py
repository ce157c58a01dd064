"""A whole Airflow of its own: metastore, API server, scheduler, DAG processor and triggerer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.airflow_api import AirflowApi
from scripts.airflow_environment import PASSWORD, USER, airflow_environment
from scripts.services import LOOPBACK, Service, ServiceError, free_port, last_lines, stop_all

REPOSITORY = Path(__file__).resolve().parent.parent
DAGS = REPOSITORY / "dags"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
POOL = "mailchimp"


class AirflowStack(AirflowApi):
    """Airflow in a folder of its own, on ports of its own; nothing is shared with another installation.

    :param home: AIRFLOW_HOME; made where it is missing.
    :param dags: the folder with the DAG files.
    :param port: of the UI and the API; 0 takes a free one.
    :param settings: further environment variables, such as connections.
    """

    def __init__(
        self, home: Path, dags: Path = DAGS, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home = home
        self.port = free_port(port)
        super().__init__(f"http://{LOOPBACK}:{self.port}", USER, PASSWORD)
        self.settings = dict(settings or {})
        self.services: list[Service] = []
        ours = {**airflow_environment(home, dags, self.port), "MAILCHIMP_POOL": POOL}
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
        self.close()

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


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]
