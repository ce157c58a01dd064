"""The sandbox as a process of its own, and the Airflow connection that leads to it."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from scripts.services import Service

READY = re.compile(
    r"^sandbox ready: url=(?P<url>\S+) key=(?P<key>\S+) audience=(?P<audience_id>\S+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that answers.

    :param url: without ``/3.0``.
    """

    service: Service
    url: str
    key: str
    audience_id: str

    def stop(self) -> None:
        """End it."""
        self.service.stop()

    def stats(self) -> dict[str, Any]:
        """How it was called since its start or the last reset."""
        return self._control("GET", "stats")

    def audience(self) -> dict[str, Any]:
        """What its audience holds: ``statuses`` and ``tags``, each with the number of members."""
        audiences: list[dict[str, Any]] = self._control("GET", "overview")["audiences"]
        return next(audience for audience in audiences if audience["id"] == self.audience_id)

    def members(self) -> list[dict[str, Any]]:
        """Everyone in its audience, with status, tags and merge fields."""
        members: list[dict[str, Any]] = self._control("GET", "members")["members"]
        return members

    def load(self, members: Path) -> None:
        """Put the people of a CSV file into the audience, past every rule."""
        with members.open(encoding="utf-8", newline="") as file:
            self._control("POST", "members", {"members": list(csv.DictReader(file))})

    def reset(self) -> None:
        """Empty the account; the settings stay."""
        self._control("POST", "reset")

    def settings(self) -> dict[str, Any]:
        """All settings."""
        return self._control("GET", "settings")

    def change(self, **settings: Any) -> None:
        """Change settings while it runs, such as ``fault_rate``."""
        self._control("POST", "settings", settings)

    def control(self, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of a control endpoint; with a body it is a POST."""
        return self._control("GET" if body is None else "POST", name, body)

    def connection(self, **extra: Any) -> dict[str, Any]:
        """The connection that leads here, as Airflow writes connections in JSON."""
        granted = {"audience_id": self.audience_id, "data_privacy_consent": True, "export_user": "sandbox"}
        return {
            "conn_type": "mailchimp",
            "host": self.url,
            "password": self.key,
            "extra": {**granted, **extra},
        }

    def sign_in(self) -> dict[str, str]:
        """The environment of an Airflow in which one can sign in here."""
        app = self.settings()
        options = {
            "CLIENT_ID": app["oauth_client_id"],
            "CLIENT_SECRET": app["oauth_client_secret"],
            **{f"{name}_ORIGIN": self.url for name in ("AUTHORIZE", "TOKEN", "METADATA")},
        }
        return {f"AIRFLOW__MAILCHIMP__OAUTH_{name}": value for name, value in options.items()}

    def _control(self, method: str, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = requests.request(method, f"{self.url}/sandbox/{name}", json=body, timeout=30)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content


def start_sandbox(
    log: Path, *, port: int = 0, members: Path | None = None, options: tuple[str, ...] = ()
) -> Sandbox:
    """Start the sandbox and wait until it answers.

    :param log: where its output goes.
    :param port: 0 takes a free one.
    :param members: a CSV file of those who are in the audience from the start.
    :param options: further command-line options.
    :raises ServiceError: it does not start.
    """
    command = [sys.executable, "-m", "airflow_mailchimp_export.sandbox", "--port", str(port), *options]
    if members is not None:
        command += ["--members", str(members)]
    service = Service("the sandbox", command, environment={**os.environ, "PYTHONUNBUFFERED": "1"}, log=log)
    try:
        ready = service.wait_for(READY)
    except BaseException:
        service.stop()
        raise
    return Sandbox(service, ready["url"], ready["key"], ready["audience_id"])


def to_environment(connection: Mapping[str, Any]) -> str:
    """The connection as the value of an ``AIRFLOW_CONN_...`` variable."""
    return json.dumps(connection)
