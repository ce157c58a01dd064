"""``docker-compose.yaml`` as Docker Compose itself reads it: the command-line program needs no engine for that."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

COMPOSE_FILE = REPOSITORY / "docker-compose.yaml"
EXAMPLE = REPOSITORY / ".env.example"
FERNET_KEY = "AIRFLOW_FERNET_KEY"


@dataclass(frozen=True)
class Program:
    """A service of the file.

    :param command: empty where the image knows best.
    :param health: the command that says whether it is well, as it is run in the container; empty: it has none.
    :param mounts: the folders of the machine, or the names of volumes, by where they are in the container.
    :param needs: the programs that it waits for, and what for.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health: Sequence[str]
    mounts: Mapping[str, str]
    needs: Mapping[str, str]
    replicas: int

    @classmethod
    def from_json(cls, name: str, service: Mapping[str, Any]) -> Program:
        """Take in what Compose says of a service; what it read as one dollar it writes as two."""
        environment = service.get("environment") or {}
        return cls(
            name,
            [part.replace("$$", "$") for part in service.get("command") or ()],
            {key: value.replace("$$", "$") for key, value in environment.items() if value is not None},
            _health(service.get("healthcheck", {}).get("test", ())),
            {mount["target"]: mount["source"] for mount in service.get("volumes", ())},
            {needed: how["condition"] for needed, how in service.get("depends_on", {}).items()},
            service.get("deploy", {}).get("replicas", 1),
        )


def compose_program() -> Path | None:
    """Where Docker Compose is, which a package brings; ``None`` if nowhere."""
    found = shutil.which("docker-compose", path=str(Path(sys.prefix, "bin")))
    return Path(found) if found else None


def compose(settings: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Docker Compose on the file, with nothing from this process's environment.

    :param settings: the file that stands for ``.env``.
    """
    program = compose_program()
    assert program is not None
    return subprocess.run(
        [program, "--file", COMPOSE_FILE, "--env-file", settings, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(settings.parent)},
        timeout=60,
    )


def read_programs(settings: Path) -> dict[str, Program]:
    """Read all services, also those of profiles."""
    ran = compose(settings, "--profile", "*", "config", "--format", "json")
    assert ran.returncode == 0, ran.stderr
    services = json.loads(ran.stdout)["services"]
    return {name: Program.from_json(name, service) for name, service in services.items()}


def fill_in(settings: Path, changes: Mapping[str, str]) -> None:
    """Write a ``.env`` as the example asks for it: every secret gets a value.

    :param changes: further values, also in place of those of the example.
    """
    text = EXAMPLE.read_text(encoding="utf-8")
    empty = re.findall(r"^(\w+)=$", text, re.MULTILINE)
    values = {name: _secret(name) for name in empty} | dict(changes)
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in values]
    added = [f"{name}='{value}'" for name, value in values.items()]
    settings.write_text("\n".join([*kept, *added, ""]), encoding="utf-8")


def example(name: str) -> str:
    """Return what the example sets."""
    text = EXAMPLE.read_text(encoding="utf-8")
    found = re.search(rf"^{name}='(.*)'$", text, re.MULTILINE)
    assert found, f"{EXAMPLE.name} has no {name}"
    return found[1]


def schema() -> dict[str, Any]:
    """Read the specification's schema of compose files, which the program carries in itself, word for word."""
    program = compose_program()
    assert program is not None
    content = program.read_bytes()
    found = re.search(rb'\{\s*"\$schema": "[^"]+",\s*"\$id": "compose_spec\.json"', content)
    assert found, "This release of Docker Compose carries no schema"
    text = content[found.start() : found.start() + 1_000_000].decode("utf-8", errors="replace")
    schema, _ = json.JSONDecoder().raw_decode(text)
    return dict(schema)


def _secret(name: str) -> str:
    """Make a secret as the example says, each in its form."""
    if name == FERNET_KEY:
        return urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(32)


def _health(test: Sequence[str]) -> Sequence[str]:
    if not test:
        return ()
    kind, *command = (part.replace("$$", "$") for part in test)
    return ["sh", "-c", *command] if kind == "CMD-SHELL" else command
