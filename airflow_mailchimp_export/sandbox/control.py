"""``/sandbox/...``: looking inside and turning knobs. No part of Mailchimp; no credentials, no faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from airflow_mailchimp_export.sandbox.account import AUDIENCE_ID, Account
from airflow_mailchimp_export.sandbox.columns import WORDS, Status
from airflow_mailchimp_export.sandbox.moments import iso
from airflow_mailchimp_export.sandbox.overview import to_overview
from airflow_mailchimp_export.sandbox.raw import load
from airflow_mailchimp_export.sandbox.state import Audience, Member

LINES_AT_ONCE = 5000
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
            Route("/sandbox/members", self.members),
            Route("/sandbox/members", self.put_members, methods=["POST"]),
            Route("/sandbox/settings", self.settings),
            Route("/sandbox/settings", self.change_settings, methods=["POST"]),
            Route("/sandbox/requests", self.requests),
            Route("/sandbox/overview", self.overview),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def stats(self, request: Request) -> Response:
        """What was counted since the start or the last reset."""
        return _json(self._account.meter.to_json())

    async def reset_stats(self, request: Request) -> Response:
        """Count from nothing."""
        self._account.meter = self._account.meter.successor()
        return _json({"reset": True})

    async def settings(self, request: Request) -> Response:
        """All settings."""
        return _json(asdict(self._account.settings))

    async def change_settings(self, request: Request) -> Response:
        """Change what the body names, all or nothing."""
        try:
            self._account.settings.change(await _object(request))
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return await self.settings(request)

    async def requests(self, request: Request) -> Response:
        """The last requests, oldest first."""
        last = int(request.query_params.get("last", DEFAULT_LAST))
        return _json({"requests": self._account.meter.last_requests(last)})

    async def overview(self, request: Request) -> Response:
        """What the page shows."""
        return _json(to_overview(self._account))

    async def reset(self, request: Request) -> Response:
        """An empty account again; the settings stay."""
        self._account.clear()
        return await self.reset_stats(request)

    async def members(self, request: Request) -> Response:
        """Every member, archived ones too: a JSON object, or one line each with ``format=jsonl``."""
        audience = self._account.audiences.get(request.query_params.get("audience", AUDIENCE_ID))
        if audience is None:
            return _json({"error": "There is no such audience."}, 404)
        if request.query_params.get("format") == "jsonl":
            return StreamingResponse(_lines(audience), media_type="application/x-ndjson")
        places = audience.statuses.select(frozenset(Status))
        return _json({"members": [_compact(audience, audience.members[place]) for place in places]})

    async def put_members(self, request: Request) -> Response:
        """Put members in as they are to be, past every rule."""
        try:
            body = await _object(request)
            audience = self._account.audiences[body.get("audience", AUDIENCE_ID)]
            count = load(audience, body.get("members", []), self._account.now())
        except KeyError:
            return _json({"error": "There is no such audience."}, 404)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json({"members": count})


async def _object(request: Request) -> Mapping[str, Any]:
    body = orjson.loads(await request.body())
    if not isinstance(body, dict):
        raise ValueError("A JSON object is needed.")
    return body


async def _lines(audience: Audience) -> AsyncIterator[bytes]:
    places = audience.statuses.select(frozenset(Status))
    for start in range(0, len(places), LINES_AT_ONCE):
        members = (audience.members[place] for place in places[start : start + LINES_AT_ONCE])
        yield b"".join(
            orjson.dumps(_compact(audience, member), option=orjson.OPT_APPEND_NEWLINE) for member in members
        )
        await asyncio.sleep(0)


def _compact(audience: Audience, member: Member) -> dict[str, Any]:
    return {
        "email": member.email,
        "hash": member.digest.hex(),
        "status": WORDS[member.status],
        "compliance": member.compliance,
        "tags": [audience.tags[tag_id].name for tag_id in member.tags],
        "merge_fields": {
            tag: value for tag, value in audience.plan.to_json(member.values).items() if value != ""
        },
        "last_changed": iso(member.changed),
    }


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
