"""Runs batches, one at a time, as Mailchimp does for an account."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.archive import SUFFIX, pack, to_result
from airflow_mailchimp_export.sandbox.batch_state import Batch, BatchStatus, Operation
from airflow_mailchimp_export.sandbox.calls import Call
from airflow_mailchimp_export.sandbox.dispatch import Reply, dispatch, problem_reply, to_payload
from airflow_mailchimp_export.sandbox.pauses import pause
from airflow_mailchimp_export.sandbox.planned import FOR_EVER
from airflow_mailchimp_export.sandbox.problems import INTERNAL, Problem, Refused
from airflow_mailchimp_export.sandbox.reading import MAX_COUNT
from airflow_mailchimp_export.sandbox.routes import ROUTER

log = logging.getLogger(__name__)


def members_in(payload: Any) -> int:
    """How many members a body carries: that is what takes time."""
    if not isinstance(payload, dict):
        return 0
    found = (payload.get(name) for name in ("members", "members_to_add", "members_to_remove"))
    return sum(len(part) for part in found if isinstance(part, list))


class BatchRunner:
    """Takes batches from the book; results lie in a folder that goes with it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._news = asyncio.Event()
        self._finalizing: set[asyncio.Task[None]] = set()
        self._folder = TemporaryDirectory(prefix="mailchimp-sandbox-")
        account.batches.wake = self._news.set

    async def run(self) -> None:
        """Work for ever."""
        with self._folder:
            while True:
                self._news.clear()
                for batch in self._account.batches.pending():
                    await self._process(batch)
                if not self._account.batches.pending():
                    await self._news.wait()

    async def _process(self, batch: Batch) -> None:
        settings = self._account.settings
        if not await self._pause(batch, lambda: settings.batch_pending):
            return
        batch.status = BatchStatus.PREPROCESSING
        if not await self._pause(batch, lambda: settings.batch_preprocessing):
            return
        operations = [page for operation in batch.operations for page in self._pages(operation)]
        # "Operations in a request are not guaranteed to run in order."
        # https://mailchimp.com/developer/marketing/guides/run-async-requests-batch-endpoint/
        Random(f"{settings.seed} {batch.number}").shuffle(operations)
        batch.total, batch.operations = len(operations), []
        batch.status = BatchStatus.STARTED
        results = await self._perform(batch, operations)
        if await self._pause(batch, lambda: math.inf if settings.batch_endless else 0):
            batch.invented, batch.completed = 0, self._account.now()
            batch.status = BatchStatus.FINALIZING
            task = asyncio.create_task(self._finalize(batch, results))
            self._finalizing.add(task)
            task.add_done_callback(self._finalizing.discard)

    async def _perform(self, batch: Batch, operations: list[Operation]) -> list[bytes]:
        settings, results = self._account.settings, []
        chance = Random(f"{settings.seed} {batch.number} faults")
        for operation in operations:
            payload = to_payload(operation.body)
            if not await self._pause(batch, self._seconds(members_in(payload))):
                break
            broken = chance.random() < settings.batch_operation_fault_rate
            reply = self._broken() if broken else self._answer(operation, payload)
            self._account.meter.operations[reply.route, reply.status] += 1
            batch.finished += 1
            batch.errored += reply.status >= 400
            results.append(to_result(reply.status, operation.operation_id, reply.body))
        return results

    async def _finalize(self, batch: Batch, results: list[bytes]) -> None:
        settings = self._account.settings
        drawn = Random(f"{settings.seed} {batch.number} tail").expovariate(1)
        if not await self._pause(
            batch, lambda: settings.batch_finalizing + drawn * settings.batch_latency_tail
        ):
            return
        archive = Path(self._folder.name) / f"{batch.batch_id}{SUFFIX}"
        await asyncio.to_thread(pack, archive, results, settings)
        if await self._pause(
            batch, lambda: math.inf if settings.batch_stuck == FOR_EVER else settings.batch_stuck
        ):
            batch.archive, batch.status = archive, BatchStatus.FINISHED

    def _seconds(self, members: int) -> Callable[[], float]:
        settings = self._account.settings
        return lambda: (
            settings.batch_operation_latency + settings.batch_operation_latency_per_member * members
        )

    async def _pause(self, batch: Batch, seconds: Callable[[], float]) -> bool:
        return await pause(seconds, wanted=lambda: self._account.batches.holds(batch))

    def _answer(self, operation: Operation, payload: Any) -> Reply:
        call = Call(operation.method, operation.path, operation.query, payload)
        try:
            return dispatch(self._account, call)
        except Exception:
            # One operation that the sandbox fails at must not end all batches for good.
            log.exception("%s %s failed inside the sandbox", operation.method, operation.path)
            return problem_reply(self._account, INTERNAL, "(failed operation)")

    def _broken(self) -> Reply:
        return problem_reply(self._account, INTERNAL, "(broken operation)")

    def _pages(self, operation: Operation) -> Iterator[Operation]:
        """A GET without ``count`` fetches the whole collection; each page is an operation of its own."""
        total = self._total_items(operation)
        if total is None:
            yield operation
            return
        for offset in range(0, max(total, 1), MAX_COUNT):
            page = {"count": str(MAX_COUNT), "offset": str(offset)}
            yield replace(operation, query={**operation.query, **page})

    def _total_items(self, operation: Operation) -> int | None:
        routed = ROUTER.match(operation.method, operation.path)
        if isinstance(routed, Problem) or not routed[0].collection or "count" in operation.query:
            return None
        route, args = routed
        probe = Call(operation.method, operation.path, {**operation.query, "count": "1"}, args=args)
        try:
            return route.handler(self._account, probe).total_items
        except Refused:
            return None
