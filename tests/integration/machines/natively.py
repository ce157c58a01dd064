"""The programs of ``docker-compose.yaml`` as processes of this machine.

Each gets the command, the environment and the health check of the file. What a container would have of its own is
given by other means: a folder takes the place of its disk, a port of this machine that of its host name, and a process
group that of the container itself. :data:`HERE` lists what is set besides.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

from scripts.services import LOOPBACK, Service, ServiceError, free_port, last_lines, stop_all
from tests.integration.machines.compose_file import Program
from tests.kit.waiting import wait_until

HOME = "/airflow"
"""The folder that every container has of its own."""

HERE = {
    "AIRFLOW__API__HOST": LOOPBACK,
    # One process is enough for a test.
    "AIRFLOW__API__WORKERS": "1",
    # What is seen within minutes elsewhere is seen within seconds.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
}
"""Environment variables that the file does not set."""

LOG_PORTS = (
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
)
"""Ports that need not differ between containers, but do between processes of one machine."""

PORTS = {"postgres": 5432, "redis": 6379, "api-server": 8080, "scheduler": 8974, "sandbox": 8025}
"""Where programs listen by the file."""


@dataclass
class Instance:
    """A program that runs, as one of several where it has replicas."""

    program: Program
    home: Path
    environment: Mapping[str, str]
    service: Service
    health: Sequence[str]

    def kill(self) -> None:
        """End it as a container ends whose machine is gone: all of it at once, also what left its process group."""
        self.service.signal(signal.SIGKILL)
        for process in processes_of(self.home):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_until(lambda: not processes_of(self.home), f"the end of {self.service.name}")

    def sickness(self) -> str:
        """Run its health check; returned is what that says where it fails, and nothing where it is well."""
        self.service.check()
        ran = subprocess.run(
            self.health,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return "" if ran.returncode == 0 else f"{self.service.name}: {ran.stdout}{ran.stderr}"


@dataclass
class Topology:
    """All programs of the file but the database, which runs on this machine anyway.

    :param folder: where each gets a folder of its own, and all that mount a volume share one.
    :param database_port: where PostgreSQL listens here.
    """

    programs: Mapping[str, Program]
    folder: Path
    database_port: int = 5432
    instances: list[Instance] = field(default_factory=list, init=False)
    ports: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        taken = [self.database_port]
        self.ports = {"postgres": self.database_port}
        for name in PORTS.keys() - self.ports.keys():
            self.ports[name] = free_port(apart_from=taken)
            taken.append(self.ports[name])

    def start(self) -> None:
        """Start all in the order that the file asks for, each when those that it needs are as far as they must be."""
        needed = {name: program.needs.keys() for name, program in self.programs.items()}
        for name in TopologicalSorter(needed).static_order():
            program = self.programs[name]
            for other, condition in program.needs.items():
                self._wait_for(other, condition)
            if program.name != "postgres":
                self.instances += [self.launch(program, number) for number in range(program.replicas)]

    def launch(self, program: Program, number: int) -> Instance:
        """Start one instance of a program."""
        name = f"{program.name}-{number + 1}"
        home = self.folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        environment = self._environment(program, home)
        service = Service(
            name,
            self._command(program, home, program.command),
            environment=environment,
            log=self.folder / "output" / f"{name}.log",
        )
        health = self._command(program, home, program.health)
        return Instance(program, home, environment, service, health)

    def stop(self) -> None:
        """End all that was started."""
        stop_all([instance.service for instance in self.instances])
        for instance in self.instances:
            instance.kill()

    def all_of(self, name: str) -> list[Instance]:
        """Find the instances of a program."""
        return [instance for instance in self.instances if instance.program.name == name]

    def url(self, name: str) -> str:
        """The address of a program that speaks HTTP."""
        return f"http://{LOOPBACK}:{self.ports[name]}"

    def volume(self, name: str) -> Path:
        """The folder that stands for a volume."""
        return self.folder / "volumes" / name

    def _wait_for(self, name: str, condition: str) -> None:
        instances = self.all_of(name)
        if condition == "service_completed_successfully":
            for instance in instances:
                _wait_for_success(instance.service)
        else:
            wait_until(lambda: not any(each.sickness() for each in instances), f"the health of {name}")

    def _environment(self, program: Program, home: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        log_ports = {name: str(free_port()) for name in LOG_PORTS}
        given = {name: self._value(program, home, value) for name, value in program.environment.items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
        return {**inherited, **HERE, **log_ports, **given, "PATH": path, "HOSTNAME": home.name}

    def _value(self, program: Program, home: Path, value: str) -> str:
        """Put in place of a container's path, host or port what stands for it here."""
        for target, source in self._mounts(program, home):
            if value == target or value.startswith(f"{target}/"):
                return f"{source}{value.removeprefix(target)}"
        if program.name in PORTS:
            port = rf"(?<![:\w]){PORTS[program.name]}\b"
            value = re.sub(port, str(self.ports[program.name]), value)
        return self._with_addresses(value)

    def _mounts(self, program: Program, home: Path) -> Iterator[tuple[str, Path]]:
        yield HOME, home
        for target, source in program.mounts.items():
            folder = Path(source) if Path(source).is_absolute() else self.volume(source)
            folder.mkdir(parents=True, exist_ok=True)
            yield target, folder

    def _command(self, program: Program, home: Path, command: Sequence[str]) -> list[str]:
        """Put in place of each word what stands for it here; a name to listen by is only known in containers."""
        words = [self._value(program, home, word) for word in command]
        own = words.index("--host") + 1 if "--host" in words else 0
        return [*words[:own], LOOPBACK, *words[own + 1 :]] if own else words

    def _with_addresses(self, text: str) -> str:
        for name, port in PORTS.items():
            text = re.sub(rf"(?<![\w.-]){name}:{port}\b", f"{LOOPBACK}:{self.ports[name]}", text)
        return text


def processes_of(home: Path) -> list[int]:
    """Find the processes that live in a home folder, by their environment."""
    mark = f"AIRFLOW_HOME={home}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in process.joinpath("environ").read_bytes():
                found.append(int(process.name))
    return found


def _wait_for_success(service: Service, *, timeout: float = 180) -> None:
    try:
        code = service.process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{service.name} takes longer than {timeout:.0f} s.") from error
    if code:
        raise ServiceError(f"{service.name} ended with exit code {code}.\n{last_lines(service.log)}")
