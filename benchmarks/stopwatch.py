"""What a process has used: time of its processors, and memory."""

from __future__ import annotations

import re
import resource
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(slots=True)
class Spent:
    """What one phase took.

    :ivar memory: the most bytes that the process had held by its end.
    """

    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0


@dataclass(slots=True)
class Stopwatch:
    """Counts time under the name of the phase that was entered last.

    CPU seconds are user and system time of all threads of this process.

    :ivar phase: the present one; empty for none.
    """

    spent: defaultdict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))
    phase: str = ""
    _wall: float = 0.0
    _cpu: float = 0.0

    def enter(self, phase: str) -> None:
        """End the present phase and begin another one."""
        wall, cpu = time.monotonic(), cpu_seconds()
        if self.phase:
            self.spent[self.phase].wall += wall - self._wall
            self.spent[self.phase].cpu += cpu - self._cpu
            self.spent[self.phase].memory = peak_memory()
        self.phase, self._wall, self._cpu = phase, wall, cpu

    def stop(self) -> dict[str, dict[str, float]]:
        """End the last phase; returned is what each took, in the order in which they were first entered."""
        self.enter("")
        return {phase: asdict(spent) for phase, spent in self.spent.items()}


def cpu_seconds() -> float:
    """User and system time of this process up to now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_memory() -> int:
    """Most bytes that this process has held at a time.

    From Linux's own account of this program: ``ru_maxrss`` would count the parent's memory of the moment in
    which it started this process, see https://man7.org/linux/man-pages/man5/proc_pid_status.5.html.
    """
    peak = _PEAK.search(Path("/proc/self/status").read_text(encoding="ascii"))
    if peak is not None:
        return int(peak[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
