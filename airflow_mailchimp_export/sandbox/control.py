"""``/sandbox/...``: looking inside and turning knobs. No part of Mailchimp; no credentials, no faults."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.control_json import explained, read_object, to_response
from airflow_mailchimp_export.sandbox.dump import everyone, lines
from airflow_mailchimp_export.sandbox.named import audience_of
from airflow_mailchimp_export.sandbox.overview import to_overview
from airflow_mailchimp_export.sandbox.raw import load

DEFAULT_LAST = 50


class Control:
    """The control endpoints of one sandbox."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/sandbox/stats", self.stats),
            Route("/sandbox/stats/reset", self.reset_stats, methods=["POST"]),
            Route("/sandbox/members", explained(self.members)),
            Route("/sandbox/members", explained(self.put_members), methods=["POST"]),
            Route("/sandbox/settings", self.settings),
            Route("/sandbox/settings", explained(self.change_settings), methods=["POST"]),
            Route("/sandbox/requests", self.requests),
            Route("/sandbox/overview", self.overview),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def stats(self, request: Request) -> Response:
        """What was counted since the start or the last reset."""
        return to_response(self._account.meter.to_json())

    async def reset_stats(self, request: Request) -> Response:
        """Count from nothing."""
        self._account.meter = self._account.meter.successor()
        return to_response({"reset": True})

    async def settings(self, request: Request) -> Response:
        """All settings."""
        return to_response(asdict(self._account.settings))

    async def change_settings(self, request: Request) -> Response:
        """Change what the body names, all or nothing."""
        self._account.settings.change(await read_object(request))
        return await self.settings(request)

    async def requests(self, request: Request) -> Response:
        """The last requests, oldest first."""
        last = int(request.query_params.get("last", DEFAULT_LAST))
        return to_response({"requests": self._account.meter.last_requests(last)})

    async def overview(self, request: Request) -> Response:
        """What the page shows."""
        return to_response(to_overview(self._account))

    async def reset(self, request: Request) -> Response:
        """An empty account again; the settings stay."""
        self._account.clear()
        return await self.reset_stats(request)

    async def members(self, request: Request) -> Response:
        """Every member, archived ones too: a JSON object, or one line each with ``format=jsonl``."""
        audience = audience_of(self._account, request.query_params)
        if request.query_params.get("format") == "jsonl":
            return StreamingResponse(lines(audience), media_type="application/x-ndjson")
        return to_response({"members": list(everyone(audience))})

    async def put_members(self, request: Request) -> Response:
        """Put members in as they are to be, past every rule."""
        body = await read_object(request)
        count = load(audience_of(self._account, body), body.get("members", []), self._account.now())
        return to_response({"members": count})
