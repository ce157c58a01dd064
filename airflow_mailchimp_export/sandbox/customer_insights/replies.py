"""What goes back over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

from airflow_mailchimp_export.sandbox.customer_insights.problems import Problem

MINIMAL = "application/json; odata.metadata=minimal"
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows, whose parts faults may change.

    :param rows: JSON, separated by commas.
    """

    context: str
    rows: str
    count: int
    total: int | None = None
    next_link: str | None = None

    def to_body(self, *, with_value: bool = True) -> bytes:
        """The JSON of it."""
        parts = [f'"@odata.context":{_text(self.context)}']
        if self.total is not None:
            parts.append(f'"@odata.count":{self.total}')
        if with_value:
            parts.append(f'"value":[{self.rows}]')
        if self.next_link:
            parts.append(f'"@odata.nextLink":{_text(self.next_link)}')
        return f"{{{','.join(parts)}}}".encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    :param route: what kind of call it was, for counting.
    :param page: where the body came from, if it is a page of rows.
    """

    status: int
    body: bytes
    content_type: str = MINIMAL
    headers: Mapping[str, str] = field(default_factory=dict)
    route: str = ""
    page: Page | None = None


def json_reply(content: Any, route: str, status: int = 200) -> Reply:
    """Content of the Web API."""
    return Reply(status, orjson.dumps(content), headers=odata_headers(), route=route)


def problem_reply(problem: Problem, route: str = "") -> Reply:
    """An error of the Web API; one without a code has no body."""
    headers = {**odata_headers(), **problem.headers}
    body = orjson.dumps(problem.to_json()) if problem.code else b""
    return Reply(problem.status, body, JSON, headers, route)


def odata_headers() -> dict[str, str]:
    """What every answer of the Web API has."""
    return {"OData-Version": "4.0", "x-ms-service-request-id": str(uuid4())}


def _text(text: str) -> str:
    return orjson.dumps(text).decode()
