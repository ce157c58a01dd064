"""Programs in the background."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.services import LOOPBACK, Service, ServiceError, free_port, stop_all
from tests.kit.waiting import PATIENCE, wait_until

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
print(child.pid, flush=True)
time.sleep(3600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(3600)
"""

Start = Callable[[str], Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a Python program; whatever is left of it at the end is stopped."""
    services: list[Service] = []

    def run(code: str) -> Service:
        log = tmp_path / f"{len(services)}.log"
        service = Service("the program", [sys.executable, "-c", code], environment=os.environ, log=log)
        services.append(service)
        return service

    yield run
    stop_all(services)


def output_of(service: Service) -> str:
    """Wait for the first line that the program prints."""
    wait_until(lambda: "\n" in service.log.read_text(), "a line of output")
    return service.log.read_text().strip()


def test_stopping_ends_what_the_program_started_too(start: Start) -> None:
    """No process that the program started outlives it."""
    service = start(PARENT)
    child = int(output_of(service))
    service.stop()
    assert service.process.poll() == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_program_that_will_not_end_is_killed(start: Start) -> None:
    """A program that ignores SIGTERM is gone after the patience is over."""
    service = start(STUBBORN)
    assert output_of(service) == "ready"
    stop_all([service], patience=0.3)
    assert service.process.wait(PATIENCE) == -signal.SIGKILL


def test_stopping_twice_does_no_harm(start: Start) -> None:
    """A program that is gone already can be stopped again."""
    service = start("")
    service.process.wait(PATIENCE)
    service.stop()
    service.stop()


def test_early_end_is_told_with_the_last_output(start: Start) -> None:
    """The error names the program and its exit code, and shows what it printed last."""
    service = start("print('out of cheese'); raise SystemExit(3)")
    service.process.wait(PATIENCE)
    with pytest.raises(ServiceError, match=r"(?s)the program ended with exit code 3.*out of cheese"):
        service.check()


def test_free_port_is_the_preferred_one_unless_it_is_taken() -> None:
    """The preferred port is kept while it is free, and another one is found when it is not."""
    preferred = free_port()
    assert free_port(preferred) == preferred
    with socket.create_server((LOOPBACK, preferred)):
        assert free_port(preferred) != preferred
