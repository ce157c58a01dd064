"""``/sandbox/...``: what others do to an account while an export runs."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.control_json import (
    Missing,
    explained,
    read_object,
    to_response,
)
from airflow_mailchimp_export.sandbox.dump import to_compact
from airflow_mailchimp_export.sandbox.fault_plan import PlannedFault
from airflow_mailchimp_export.sandbox.named import audience_of
from airflow_mailchimp_export.sandbox.signup import sign_up


class Events:
    """The control endpoints that make something happen."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/sandbox/signup", explained(self.sign_up), methods=["POST"]),
            Route("/sandbox/key/rotate", explained(self.rotate_key), methods=["POST"]),
            Route("/sandbox/oauth/revoke", self.revoke_tokens, methods=["POST"]),
            Route("/sandbox/faults", self.faults),
            Route("/sandbox/faults", explained(self.plan_faults), methods=["POST"]),
            Route("/sandbox/faults/clear", self.clear_faults, methods=["POST"]),
            Route("/sandbox/batches/stop", explained(self.stop_batches), methods=["POST"]),
        ]

    async def sign_up(self, request: Request) -> Response:
        """Let a person come in, or come back, through the signup form."""
        body = await read_object(request)
        audience = audience_of(self._account, body)
        member = sign_up(
            audience, str(body.get("email", "")), body.get("merge_fields", {}), self._account.now()
        )
        return to_response(to_compact(audience, member))

    async def rotate_key(self, request: Request) -> Response:
        """Revoke the key, and make another one valid: the one that is given, or a new one."""
        settings, body = self._account.settings, await read_object(request)
        new = body.get("key") or f"{secrets.token_hex(16)}-{settings.datacenter}"
        settings.change({"key": new})
        return to_response({"key": settings.key})

    async def revoke_tokens(self, request: Request) -> Response:
        """Take back every token that a sign-in was given, and every code."""
        revoked = len(self._account.grants.tokens)
        self._account.grants.clear()
        return to_response({"revoked": revoked})

    async def faults(self, request: Request) -> Response:
        """The faults that are still to come."""
        return to_response({"faults": self._account.fault_plan.to_json()})

    async def plan_faults(self, request: Request) -> Response:
        """Let the next calls that match go wrong: one fault, or several at once, all or nothing."""
        body = await read_object(request)
        found = [PlannedFault.from_json(one) for one in body.get("faults", [body])]
        for planned in found:
            self._account.fault_plan.add(planned)
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Let all calls go well."""
        self._account.fault_plan.clear()
        return await self.faults(request)

    async def stop_batches(self, request: Request) -> Response:
        """Stop the batches that are named, or all that have not finished, as another user might."""
        book, body = self._account.batches, await read_object(request)
        unfinished = [batch.batch_id for batch in book.unfinished()]
        named = dict.fromkeys(body.get("batches", unfinished))
        found = [book.batches.get(batch_id) for batch_id in named]
        stopped = [batch for batch in found if batch]
        if len(stopped) < len(found):
            raise Missing("There is no such batch.")
        for batch in stopped:
            book.stop(batch, self._account.settings.batch_stopped_status)
        return to_response({"batches": [batch.batch_id for batch in stopped]})
