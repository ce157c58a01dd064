"""Calls a running sandbox of Customer Insights - Data over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from tests.kit.waiting import PATIENCE

MEMBERSHIPS, PROFILES = "msdynci_segmentmemberships", "msdynci_customerprofiles"
STATED = Settings()


@dataclass(frozen=True)
class Insights:
    """A sandbox, and a session whose user has a token."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def root(self) -> str:
        """What every address of the Web API begins with."""
        return f"{self.url}/api/data/v9.2"

    def ask_token(self, *, tenant: str = STATED.tenant_id, **changed: str | None) -> requests.Response:
        """A call for a token; a value that is None is left out."""
        form = {
            "grant_type": "client_credentials",
            "client_id": STATED.client_id,
            "client_secret": STATED.client_secret,
            "scope": f"{self.url}/.default",
            **changed,
        }
        body = {name: value for name, value in form.items() if value is not None}
        return requests.post(f"{self.url}/{tenant}/oauth2/v2.0/token", data=body, timeout=PATIENCE)

    def log_in(self) -> None:
        """Use a new token from now on."""
        self.session.headers["Authorization"] = f"Bearer {self.ask_token().json()['access_token']}"

    def call(self, path: str, **options: Any) -> requests.Response:
        """One call of the Web API; the path may be a whole URL."""
        url = path if "://" in path else f"{self.root}/{path}"
        return self.session.get(url, timeout=PATIENCE, **options)

    def get(self, path: str, *, size: int | None = None) -> Any:
        """The JSON of a call that succeeds."""
        headers = {"Prefer": f"odata.maxpagesize={size}"} if size else {}
        answer = self.call(path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def error(self, path: str, status: int = 400) -> tuple[str, str]:
        """Code and message of a call that fails."""
        answer = self.call(path)
        assert answer.status_code == status, answer.text
        found = answer.json()["error"]
        return found["code"], found["message"]

    def pages(self, path: str, size: int) -> Iterator[list[dict[str, Any]]]:
        """The rows of each page, by following the links."""
        link: str | None = path
        while link:
            page = self.get(link, size=size)
            yield page["value"]
            link = page.get("@odata.nextLink")

    def rows(self, path: str, size: int = 1000) -> list[dict[str, Any]]:
        """All rows of all pages."""
        return [row for page in self.pages(path, size) for row in page]

    def ids(self, path: str, size: int = 1000) -> list[str]:
        """The customer ids of all rows."""
        return [row["msdynci_customerid"] for row in self.rows(path, size)]

    def members(self, segment: str) -> list[str]:
        """Who is in a segment, as the sandbox itself knows it."""
        found: list[str] = self.control(f"segments/{segment}/members")["members"]
        return found

    def control(self, path: str, body: Any = None, **params: Any) -> Any:
        """The JSON of a control call; with a body it is a POST."""
        method = "GET" if body is None else "POST"
        answer = requests.request(
            method, f"{self.url}/sandbox/{path}", params=params, json=body, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self.control("settings", settings)

    def load(self, **settings: Any) -> None:
        """Change settings, and build all data anew under them."""
        self.set(**settings)
        self.control("reset", {})
        self.log_in()

    def fault(self, answer: str, **more: Any) -> None:
        """Let the next call go wrong."""
        self.control("faults", {"answer": answer, **more})
