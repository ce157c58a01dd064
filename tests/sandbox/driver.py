"""Drives a running sandbox over HTTP."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests

from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID
from tests.kit.waiting import PATIENCE, wait_until

LIST = f"/lists/{AUDIENCE_ID}"


@dataclass(frozen=True)
class Sandbox:
    """A sandbox, its key, and a session that uses it."""

    url: str
    key: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        """Log in."""
        self.session.auth = ("anybody", self.key)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """One call of the API."""
        data = None if body is None else orjson.dumps(body)
        return self.session.request(method, f"{self.url}/3.0{path}", data=data, timeout=PATIENCE, **options)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that succeeds."""
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def subscribe(self, *members: Any, update_existing: bool = True, query: str = "", **more: Any) -> Any:
        """The JSON of a batch-subscribe that succeeds."""
        body = {"members": list(members), "update_existing": update_existing, **more}
        answer = self.call("POST", f"{LIST}?{query}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def problem(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """The problem document of a call that fails."""
        answer = self.call(method, path, body, **options)
        assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8", answer.text
        document: dict[str, Any] = answer.json()
        assert document["status"] == answer.status_code
        assert document["instance"] == answer.headers["X-Request-Id"]
        return document

    def control(self, path: str, body: Any = None, **params: Any) -> Any:
        """The JSON of a control endpoint; with a body it is a POST."""
        method = "GET" if body is None else "POST"
        url = f"{self.url}/sandbox{path}"
        answer = requests.request(method, url, params=params, json=body, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self.control("/settings", settings)

    def put(self, *members: dict[str, Any]) -> None:
        """Put members in, past every rule."""
        self.control("/members", {"members": list(members)})

    def member(self, email: str) -> dict[str, Any]:
        """A member as the dump has it."""
        members: dict[str, dict[str, Any]] = {
            one["email"]: one for one in self.control("/members")["members"]
        }
        return members[email]

    def wait_for(self, batch_id: str, status: str = "finished") -> dict[str, Any]:
        """The batch, once it has this status."""
        looks: list[dict[str, Any]] = []

        def has_it() -> bool:
            looks.append(self.get(f"/batches/{batch_id}"))
            return bool(looks[-1]["status"] == status)

        wait_until(has_it, f"that the batch is {status}")
        return looks[-1]

    def wait_for_operations(self, batch_id: str, finished: int) -> None:
        """Come back when so many operations of a batch are done."""
        path = f"/batches/{batch_id}"
        wait_until(lambda: self.get(path)["finished_operations"] >= finished, "the end of the operations")

    def submit(self, *operations: dict[str, Any]) -> dict[str, Any]:
        """The answer to a batch that is submitted."""
        answer = self.call("POST", "/batches", {"operations": list(operations)})
        assert answer.status_code == 200, answer.text
        batch: dict[str, Any] = answer.json()
        return batch

    def run_batch(self, *operations: dict[str, Any]) -> dict[str, Any]:
        """A batch that has finished."""
        return self.wait_for(self.submit(*operations)["id"])


def person(email: str, status: str | None = "subscribed", **more: Any) -> dict[str, Any]:
    """A member as it is sent."""
    return {"email_address": email, **({"status": status} if status else {}), **more}


def subscribe(number: int, *members: dict[str, Any], query: str = "") -> dict[str, Any]:
    """An operation that is a batch-subscribe."""
    body = orjson.dumps({"members": list(members), "update_existing": True}).decode()
    return {"method": "POST", "path": f"{LIST}{query}", "body": body, "operation_id": str(number)}


def ping(number: int = 0) -> dict[str, Any]:
    """An operation that does nothing."""
    return {"method": "GET", "path": "/ping", "operation_id": str(number)}


def download(batch: dict[str, Any]) -> requests.Response:
    """The archive of a batch, fetched without credentials."""
    return requests.get(batch["response_body_url"], timeout=PATIENCE)


def unpack(archive: bytes) -> list[dict[str, Any]]:
    """The results in an archive, each with its response read."""
    results: list[dict[str, Any]] = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz") as files:
        for entry in files:
            file = files.extractfile(entry)
            text = file.read() if file else b""
            results += orjson.loads(text) if text else []
    return [{**one, "response": orjson.loads(one["response"] or "null")} for one in results]
