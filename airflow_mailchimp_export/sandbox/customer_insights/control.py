"""``/sandbox/...``: looking inside and turning knobs. No part of Dataverse; no credentials, no faults."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from airflow_mailchimp_export.sandbox.control_json import explained, read_object, to_response
from airflow_mailchimp_export.sandbox.customer_insights.faults import PlannedFault
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.overview import Overview

DEFAULT_LAST = 50


class Control:
    """The control endpoints that look, and those that set what comes."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation
        self._overview = Overview(organisation)

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/sandbox/stats", self.stats),
            Route("/sandbox/stats/reset", self.reset_stats, methods=["POST"]),
            Route("/sandbox/settings", self.settings),
            Route("/sandbox/settings", explained(self.change_settings), methods=["POST"]),
            Route("/sandbox/requests", self.requests),
            Route("/sandbox/overview", self.overview),
            Route("/sandbox/faults", self.faults),
            Route("/sandbox/faults", explained(self.plan_faults), methods=["POST"]),
            Route("/sandbox/faults/clear", self.clear_faults, methods=["POST"]),
            Route("/sandbox/tokens/revoke", self.revoke_tokens, methods=["POST"]),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def stats(self, request: Request) -> Response:
        """What was counted since the start or the last reset."""
        counted = self._organisation.meter.to_json()
        more = {
            "rows": self._organisation.meter.rows_handled,
            "in_flight": self._organisation.protection.under_way,
        }
        return to_response({name: counted[name] for name in ("requests", "faults", "bytes")} | more)

    async def reset_stats(self, request: Request) -> Response:
        """Count from nothing."""
        self._organisation.meter = self._organisation.meter.successor()
        return to_response({"reset": True})

    async def settings(self, request: Request) -> Response:
        """All settings."""
        return to_response(asdict(self._organisation.settings))

    async def change_settings(self, request: Request) -> Response:
        """Change what the body names, all or nothing."""
        self._organisation.settings.change(await read_object(request))
        return await self.settings(request)

    async def requests(self, request: Request) -> Response:
        """The last requests, oldest first."""
        last = int(request.query_params.get("last", DEFAULT_LAST))
        return to_response({"requests": self._organisation.meter.last_requests(last)})

    async def overview(self, request: Request) -> Response:
        """What the page shows."""
        return to_response(self._overview.to_json())

    async def faults(self, request: Request) -> Response:
        """The faults that are still to come."""
        return to_response({"faults": self._organisation.fault_plan.to_json()})

    async def plan_faults(self, request: Request) -> Response:
        """Let the next calls that match go wrong: one fault, or several at once, all or nothing."""
        body = await read_object(request)
        found = [PlannedFault.from_json(one) for one in body.get("faults", [body])]
        for planned in found:
            self._organisation.fault_plan.add(planned)
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Let all calls go well."""
        self._organisation.fault_plan.clear()
        return await self.faults(request)

    async def revoke_tokens(self, request: Request) -> Response:
        """No token is valid any more; new ones can be had."""
        revoked = len(self._organisation.tokens)
        self._organisation.tokens.clear()
        return to_response({"revoked": revoked})

    async def reset(self, request: Request) -> Response:
        """The data as it was at first, no planned faults, no tokens; the settings stay."""
        self._organisation.clear()
        return await self.reset_stats(request)
