"""One call over HTTP: credentials, a place, its time, its work, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Call, to_query
from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.credentials import check_credentials
from airflow_mailchimp_export.sandbox.dispatch import Reply, dispatch, problem_reply, to_payload
from airflow_mailchimp_export.sandbox.failures import failure_reply, faulty_reply
from airflow_mailchimp_export.sandbox.faults import Failure, Fault, Form, Injector, to_fault
from airflow_mailchimp_export.sandbox.gate import Gate, HangUp
from airflow_mailchimp_export.sandbox.meter import Entry
from airflow_mailchimp_export.sandbox.pauses import pause
from airflow_mailchimp_export.sandbox.problems import METHOD_OVERRIDE, TRIGGERS, Problem
from airflow_mailchimp_export.sandbox.runner import members_in
from airflow_mailchimp_export.sandbox.serving import HANG_UP

COMPRESS_FROM = 500
TOO_LONG = Failure(502, Form.HTML)
"""What the edge of Mailchimp's network answers after a while."""


@dataclass(slots=True, eq=False)
class Incoming:
    """One request as it arrives."""

    scope: Scope
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    caller: str
    hang_up: HangUp
    started: float
    body: bytes = b""
    members: int = 0
    fault: Fault | None = None


def to_incoming(scope: Scope) -> Incoming:
    """Read the head of a request."""
    client = scope.get("client")
    return Incoming(
        scope=scope,
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1").removeprefix("/3.0"),
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        caller=client[0] if client else "127.0.0.1",
        hang_up=scope["state"][HANG_UP],
        started=time.monotonic(),
    )


class MarketingApi:
    """The API as an ASGI application."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._gate = Gate(account)
        self._injector = Injector(account.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or cut its connection."""
        request = to_incoming(scope)
        problem = self._objection(request)
        if problem:
            reply: Reply | None = problem_reply(self._account, problem, "(refused at the door)")
            await _read(request, receive)
        elif not self._gate.enter(request, request.hang_up):
            reply = replace(self._gate.over_limit(), route="(over the limit)")
            await _read(request, receive)
        else:
            reply = await self._admitted(request, receive)
        await self._finish(request, reply, receive, send)

    def _objection(self, request: Incoming) -> Problem | None:
        override = request.headers.get("x-http-method-override")
        if override and request.method != "POST":
            return METHOD_OVERRIDE
        request.method = override.upper() if override else request.method
        trigger = TRIGGERS.get(request.headers.get("x-trigger-error", ""))
        return trigger or check_credentials(request.headers, self._account)

    async def _admitted(self, request: Incoming, receive: Receive) -> Reply | None:
        if not await _read(request, receive):
            self._gate.leave(request)
            return None
        request.fault = self._draw(request)
        payload = to_payload(request.body)
        request.members = members_in(payload)
        self._account.meter.rows_received += request.members
        if request.fault and not request.fault.applied:
            self._gate.leave(request)
            return faulty_reply(self._account, request.fault, None)
        call = Call(request.method, request.path, to_query(request.query), payload, request.caller)
        work = asyncio.create_task(self._work(request, call))
        await asyncio.wait({work}, timeout=self._account.settings.timeout)
        if not work.done():
            return failure_reply(self._account, TOO_LONG)
        return faulty_reply(self._account, request.fault, work.result()) if request.fault else work.result()

    def _draw(self, request: Incoming) -> Fault | None:
        planned = self._account.fault_plan.take(request.method, request.path)
        if planned:
            return planned
        kind = self._injector.draw(request.method, f"{request.path}?{request.query}", request.body)
        return to_fault(kind.value) if kind else None

    async def _work(self, request: Incoming, call: Call) -> Reply:
        try:
            await pause(lambda: self._seconds(request))
            return dispatch(self._account, call)
        finally:
            self._gate.leave(request)

    def _seconds(self, request: Incoming) -> float:
        settings = self._account.settings
        late = request.fault is not None and request.fault.word == FaultKind.DELAY
        delay = settings.fault_delay if late else 0
        return settings.latency + settings.latency_per_member * request.members + delay

    async def _finish(self, request: Incoming, reply: Reply | None, receive: Receive, send: Send) -> None:
        body, headers = self._encoded(request, reply) if reply else (b"", {})
        self._note(request, reply, len(body))
        if reply is None:
            request.hang_up()
            # One turn of the loop, in which the server learns that the connection is gone.
            await asyncio.sleep(0)
            return
        await Response(body, reply.status, headers)(request.scope, receive, send)

    def _encoded(self, request: Incoming, reply: Reply) -> tuple[bytes, dict[str, str]]:
        headers = {"Server": "openresty", "X-Request-Id": str(uuid4()), "Vary": "Accept-Encoding"}
        headers |= reply.headers
        if reply.status != 204:
            headers["Content-Type"] = reply.content_type
        wanted = self._account.settings.compress and "gzip" in request.headers.get("accept-encoding", "")
        if not wanted or len(reply.body) < COMPRESS_FROM:
            return reply.body, headers
        return gzip.compress(reply.body, compresslevel=1), {**headers, "Content-Encoding": "gzip"}

    def _note(self, request: Incoming, reply: Reply | None, bytes_out: int) -> None:
        meter = self._account.meter
        meter.bytes_in += len(request.body)
        meter.bytes_out += bytes_out
        if request.fault:
            meter.faults[request.fault.word] += 1
        seconds = round(time.monotonic() - request.started, 6)
        status = reply.status if reply else 0
        fault = request.fault.word if request.fault else ""
        entry = Entry(
            self._account.now(), request.method, request.path, status, request.members, seconds, fault
        )
        meter.note(reply.route if reply and reply.route else "(no operation)", entry)


async def _read(request: Incoming, receive: Receive) -> bool:
    """Take in the body; False: the caller hung up before its end."""
    parts = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return False
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    request.body = b"".join(parts)
    return True
