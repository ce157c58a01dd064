"""One call over HTTP: what it is for, its limits, its time, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate

from starlette.types import Receive, Scope, Send

from airflow_mailchimp_export.sandbox.customer_insights import entra
from airflow_mailchimp_export.sandbox.customer_insights.blob_export import write_export
from airflow_mailchimp_export.sandbox.customer_insights.choices import FaultKind, RetryAfter
from airflow_mailchimp_export.sandbox.customer_insights.faults import Fault, failure_reply, spoil
from airflow_mailchimp_export.sandbox.customer_insights.incoming import (
    Incoming,
    encoded,
    send_part,
    to_incoming,
)
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.replies import Reply, problem_reply
from airflow_mailchimp_export.sandbox.customer_insights.web_api import answer, check_token
from airflow_mailchimp_export.sandbox.meter import Entry
from airflow_mailchimp_export.sandbox.pauses import pause

AT_THE_DOOR = "(refused at the door)"


class Endpoint:
    """The token endpoint and the Web API, as an ASGI application."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or cut its connection."""
        incoming = await to_incoming(scope, receive)
        reply = await self._reply(incoming)
        await self._finish(incoming, reply, receive, send)

    async def _reply(self, incoming: Incoming) -> Reply | None:
        token = entra.PATH.fullmatch(incoming.path)
        if token:
            tenant = token["tenant"]
            return await self._carried_out(
                incoming,
                lambda: entra.answer_token(self._organisation, tenant, incoming.headers, incoming.body),
            )
        problem = check_token(self._organisation, incoming.headers.get("authorization", ""))
        if problem:
            return problem_reply(problem, AT_THE_DOOR)
        refused = self._organisation.protection.enter()
        if refused:
            reply = problem_reply(refused[0], "(over a limit)")
            return self._with_retry_after(reply, refused[1])
        try:
            return await self._carried_out(incoming, lambda: self._answer(incoming))
        finally:
            seconds = time.monotonic() - incoming.started + self._organisation.settings.execution_time
            self._organisation.protection.leave(seconds)

    async def _carried_out(self, incoming: Incoming, work: Callable[[], Reply]) -> Reply | None:
        fault = incoming.fault = self._draw(incoming)
        await pause(lambda: self._seconds(incoming))
        if fault is None:
            return work()
        if not fault.at_once:
            return spoil(fault, work(), incoming.url)
        if fault.word == FaultKind.UNAUTHORIZED:
            self._organisation.tokens.pop(incoming.token, None)
        reply = failure_reply(fault)
        if reply and reply.status in {429, 503}:
            return self._with_retry_after(reply, self._organisation.settings.retry_after_seconds)
        return reply

    def _answer(self, incoming: Incoming) -> Reply:
        again = incoming.fault is not None and incoming.fault.word == FaultKind.REPEATED_ROW
        reply = answer(self._organisation, incoming.method, incoming.to_request(), again=again)
        due = self._organisation.due_after_page() if reply.page else None
        if due:
            self._organisation.refresh(due)
            write_export(self._organisation)
        return replace(reply, headers={**reply.headers, **self._organisation.protection.left()})

    def _draw(self, incoming: Incoming) -> Fault | None:
        organisation, settings = self._organisation, self._organisation.settings
        planned = organisation.fault_plan.take(incoming.method, incoming.path)
        if planned:
            return planned
        kind = organisation.lottery.draw(
            incoming.drawn_by, seed=settings.seed, rate=settings.fault_rate, kinds=settings.faults
        )
        return Fault(kind.value) if kind else None

    def _seconds(self, incoming: Incoming) -> float:
        settings = self._organisation.settings
        late = incoming.fault is not None and incoming.fault.word == FaultKind.DELAY
        return settings.latency + (settings.fault_delay if late else 0.0)

    def _with_retry_after(self, reply: Reply, seconds: int) -> Reply:
        form = self._organisation.settings.retry_after
        if form is RetryAfter.NONE:
            return reply
        date = formatdate(self._organisation.now() + seconds, usegmt=True)
        value = date if form is RetryAfter.DATE else str(seconds)
        return replace(reply, headers={**reply.headers, "Retry-After": value})

    async def _finish(self, incoming: Incoming, reply: Reply | None, receive: Receive, send: Send) -> None:
        self._note(incoming, reply)
        if reply is None:
            incoming.hang_up()
            # One turn of the loop, in which the server learns that the connection is gone.
            await asyncio.sleep(0)
            return
        response = encoded(incoming, reply, compress=self._organisation.settings.compress)
        if incoming.fault and incoming.fault.word == FaultKind.CUT and len(response.body) > 1:
            await send_part(incoming, response, receive, send)
        else:
            await response(incoming.scope, receive, send)

    def _note(self, incoming: Incoming, reply: Reply | None) -> None:
        meter, fault = self._organisation.meter, incoming.fault.word if incoming.fault else ""
        rows = reply.page.count if reply and reply.page else 0
        if fault:
            meter.faults[fault] += 1
        meter.rows_handled += rows
        meter.bytes_in += len(incoming.body)
        meter.bytes_out += len(reply.body) if reply else 0
        seconds = round(time.monotonic() - incoming.started, 6)
        status, route = (reply.status, reply.route) if reply else (0, "")
        entry = Entry(
            self._organisation.now(), incoming.method, incoming.target, status, rows, seconds, fault
        )
        meter.note(route or "(no answer)", entry)
