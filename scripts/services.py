"""Programs in the background: started, watched, and stopped with all that they started themselves."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 20.0
"""How long a program may take to end by itself before it is killed."""


class ServiceError(RuntimeError):
    """A program did not start, or ended when it should not have."""


class Service:
    """A running program, leader of a process group of its own.

    :param name: what messages call it.
    :param command: the program and its arguments.
    :param environment: its whole environment.
    :param log: where its output goes.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own group, so that Ctrl-C reaches only us and what it forks can be stopped with it.
                start_new_session=True,
            )

    def check(self) -> None:
        """Make sure that it still runs.

        :raises ServiceError: it ended; the message holds the end of its output.
        """
        if (code := self.process.poll()) is not None:
            raise ServiceError(f"{self.name} ended with exit code {code}.\n{last_lines(self.log)}")

    def wait_for(self, said: re.Pattern[str], *, timeout: float = 60.0) -> re.Match[str]:
        """Wait until its output says something; returned is what it says.

        :raises ServiceError: it ended before, or takes too long.
        """
        deadline = time.monotonic() + timeout
        while True:
            if found := said.search(self.log.read_text(encoding="utf-8", errors="replace")):
                return found
            self.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"{self.name} does not answer after {timeout:.0f} s; see {self.log}.")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and all that it started; a program that has ended already is no error."""
        stop_all([self])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    @property
    def gone(self) -> bool:
        """Whether nothing of its process group is left."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


def stop_all(services: Sequence[Service], *, patience: float = STOP_SECONDS) -> None:
    """End all of them at once, by force what has not ended in time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [service for service in services if not service.gone]
        for service in left:
            service.signal(number)
        _wait_until_gone(left, patience)


def _wait_until_gone(services: Sequence[Service], patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and not all(service.gone for service in services):
        time.sleep(0.05)


def free_port(preferred: int = 0, *, apart_from: Sequence[int] = ()) -> int:
    """A port that nobody listens on: the preferred one where that is free."""
    candidates = [preferred] if preferred and preferred not in apart_from else []
    for port in (*candidates, 0):
        with socket.socket() as listener, suppress(OSError):
            # As servers do it; else a port that was in use a moment ago would count as taken.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, port))
            return int(listener.getsockname()[1])
    raise ServiceError("There is no free port.")


def last_lines(log: Path, count: int = 30) -> str:
    """The end of a program's output."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-count:])
