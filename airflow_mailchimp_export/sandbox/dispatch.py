"""Answers one call, wherever it comes from: over HTTP, or out of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import uuid4

import orjson

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Call
from airflow_mailchimp_export.sandbox.choices import Role
from airflow_mailchimp_export.sandbox.problems import (
    FORBIDDEN,
    IN_REVIEW,
    USER_DISABLED,
    Problem,
    Refused,
)
from airflow_mailchimp_export.sandbox.reading import BROKEN
from airflow_mailchimp_export.sandbox.routes import ROUTER
from airflow_mailchimp_export.sandbox.routing import Route
from airflow_mailchimp_export.sandbox.views import WHOLE, to_projection

JSON = "application/json; charset=utf-8"
PROBLEM_JSON = "application/problem+json; charset=utf-8"
READERS = (Role.AUTHOR, Role.VIEWER)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over the wire."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    route: str = ""


def dispatch(account: Account, call: Call) -> Reply:
    """Find the operation and run it."""
    routed = ROUTER.match(call.method, call.path)
    if isinstance(routed, Problem):
        return problem_reply(account, routed, f"{call.method} (no such resource)")
    route, args = routed
    name = f"{route.method} {route.template}"
    try:
        content = _run(account, route, replace(call, args=args))
    except Refused as refused:
        return problem_reply(account, refused.problem, name)
    if content is None:
        return Reply(204, route=name)
    return Reply(200, orjson.dumps(content), route=name)


def problem_reply(account: Account, problem: Problem, route: str = "") -> Reply:
    """A problem document."""
    request_id = str(uuid4())
    schema = f"{account.url}/schema/3.0/Definitions/ProblemDetailDocument.json"
    headers = {**problem.headers, "X-Request-Id": request_id, "Link": f'<{schema}>; rel="describedBy"'}
    body = orjson.dumps(problem.to_json(request_id))
    return Reply(problem.status, body, PROBLEM_JSON, headers, route)


def to_payload(body: bytes | str | None) -> object:
    """The body's JSON; a mark that it is none."""
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return BROKEN


def _run(account: Account, route: Route, call: Call) -> object:
    settings = account.settings
    if settings.account_disabled:
        raise Refused(USER_DISABLED)
    if route.method != "GET" and settings.role in READERS:
        raise Refused(FORBIDDEN)
    if route.method != "GET" and settings.compliance_review:
        raise Refused(IN_REVIEW)
    view = to_projection(call.query, route.shape) if route.shape else WHOLE
    return route.handler(account, replace(call, view=view)).content
