"""Exports that are killed at random moments: no address stays in any temporary folder, and nobody is lost.

It takes ``MAILCHIMP_SOAK_SECONDS``, an hour unless set, where ``MAILCHIMP_SOAK`` is set; a few kills otherwise.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.forget import forget
from scripts.sandbox_service import Sandbox
from tests.kit.people import people

SOAKING = bool(os.environ.get("MAILCHIMP_SOAK"))

SECONDS = float(os.environ.get("MAILCHIMP_SOAK_SECONDS", "3600"))

KILLS = 3
"""Kills of the short version."""

DOMAIN = "brieftaube.eu"

EVERYBODY = [f"p{number:05}@{DOMAIN}" for number in range(4_000 if SOAKING else 1_500)]

LONGEST_LIFE = 2.0
"""Seconds after which a process is killed at the latest, from the beginning of its work."""


@dataclass
class Soak:
    """An export whose processes are killed, and what it is given."""

    sandbox: Sandbox
    root: Path
    chance: random.Random
    runs: int = 0

    @property
    def temporary(self) -> Path:
        """The temporary folder of the processes."""
        return self.root / "tmp"

    def choose(self) -> list[str]:
        """Write another segment; return who is in it."""
        self.runs += 1
        chosen = self.chance.sample(EVERYBODY, len(EVERYBODY) * 3 // 4)
        pq.write_table(people(*chosen), self.root / "segment.parquet")
        return chosen

    def start(self) -> subprocess.Popen[str]:
        """Begin an attempt at the present run; come back when its work begins."""
        task = {
            "url": self.sandbox.url,
            "key": self.sandbox.key,
            "audience_id": self.sandbox.audience_id,
            "profiles": str(self.root / "segment.parquet"),
            "exports": str(self.root / "exports"),
            "delivery": "batch" if self.runs % 2 else "direct",
            "run": f"run{self.runs}",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.victim", json.dumps(task)],
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        return process

    def kill(self) -> None:
        """Begin an attempt, and kill it at some moment."""
        with self.start() as process:
            time.sleep(self.chance.random() * LONGEST_LIFE)
            process.kill()

    def finish(self) -> Mapping[str, Any]:
        """Let an attempt live; return how it ended."""
        with self.start() as process:
            assert process.stdout
            ended: dict[str, Any] = json.loads(process.stdout.read())
        return ended

    def left_behind(self) -> list[str]:
        """Files with addresses in temporary folders, and drafts."""
        files = [path for path in self.temporary.rglob("*") if path.is_file()]
        drafts = list((self.root / "exports").rglob(".draft-*"))
        return [str(path) for path in files if DOMAIN.encode() in path.read_bytes()] + [*map(str, drafts)]

    def tagged(self) -> set[str]:
        """Who carries the tag in the audience."""
        return {str(member["email"]) for member in self.sandbox.members() if "A" in member["tags"]}


@pytest.fixture
def soak(sandbox: Sandbox, tmp_path: Path) -> Soak:
    """An export that has not run yet."""
    sandbox.change(batch_pending=0.0, batch_preprocessing=0.0, batch_finalizing=0.0)
    (tmp_path / "tmp").mkdir()
    seed = random.randrange(2**32)
    print(f"seed: {seed}")
    return Soak(sandbox, tmp_path, random.Random(seed))


def enough() -> Callable[[int], bool]:
    """Make what says, given the number of kills, whether it goes on."""
    until = time.monotonic() + SECONDS
    return (lambda kills: time.monotonic() < until) if SOAKING else (lambda kills: kills < KILLS)


@pytest.mark.timeout(0)
def test_kills_at_random(soak: Soak, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever processes were killed, the next one that lives ends well, and leaves no trace of the dead."""
    goes_on, kills = enough(), 0
    while goes_on(kills):
        chosen = soak.choose()
        for _ in range(soak.chance.randint(1, 3)):
            soak.kill()
            kills += 1
        assert soak.finish() == {"verdict": "success", "adds_up": True}
        assert soak.left_behind() == []
        assert soak.tagged() == set(chosen)
    soak.choose()
    soak.kill()
    monkeypatch.setenv("TMPDIR", str(soak.temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (soak.root / "exports" / "soak" / "lock.json").unlink(missing_ok=True)
    list(forget(EVERYBODY[0], soak.root / "exports"))
    assert soak.left_behind() == []
