"""The local Customer Insights as a process of its own, and the Airflow connection that leads to it."""

from __future__ import annotations

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
    r"^customer-insights sandbox ready: url=(?P<url>\S+) tenant=(?P<tenant>\S+) client=(?P<client>\S+) "
    r"secret=(?P<secret>\S+)(?: export=(?P<export>\S+))?$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class InsightsService:
    """A local Customer Insights that answers.

    :param export: the folder of its file export; empty for none.
    """

    service: Service
    url: str
    tenant: str
    client_id: str
    secret: str
    export: str = ""

    def connection(self, **extra: Any) -> dict[str, Any]:
        """The connection that leads here, as Airflow writes connections in JSON."""
        return {
            "conn_type": "customer_insights",
            "host": self.url,
            "login": self.client_id,
            "password": self.secret,
            "extra": {"tenant_id": self.tenant, **extra},
        }

    def control(self, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of a control endpoint; with a body it is a POST."""
        method = "GET" if body is None else "POST"
        answer = requests.request(method, f"{self.url}/sandbox/{name}", json=body, timeout=60)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content

    def stop(self) -> None:
        """End it."""
        self.service.stop()


def start_insights(log: Path, *options: str) -> InsightsService:
    """Start it and wait until it answers.

    :param log: where its output goes.
    :raises ServiceError: it does not start.
    """
    command = [
        sys.executable,
        "-m",
        "airflow_mailchimp_export.sandbox",
        "customer-insights",
        "--port",
        "0",
        *options,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    service = Service("the local Customer Insights", command, environment=environment, log=log)
    try:
        ready = service.wait_for(READY, timeout=120.0)
    except BaseException:
        service.stop()
        raise
    return InsightsService(
        service,
        ready["url"],
        ready["tenant"],
        ready["client"],
        ready["secret"],
        ready["export"] or "",
    )
