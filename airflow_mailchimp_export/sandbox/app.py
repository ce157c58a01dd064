"""The sandbox as one ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from airflow_mailchimp_export.sandbox import archive
from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.control import Control
from airflow_mailchimp_export.sandbox.control_events import Events
from airflow_mailchimp_export.sandbox.credentials import token_of
from airflow_mailchimp_export.sandbox.exchange import MarketingApi
from airflow_mailchimp_export.sandbox.login import Login
from airflow_mailchimp_export.sandbox.page import to_page
from airflow_mailchimp_export.sandbox.root import oauth_metadata
from airflow_mailchimp_export.sandbox.runner import BatchRunner

SUBTITLE = "A local imitation of the Marketing API. Nothing here reaches anybody."
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


def to_app(account: Account) -> Starlette:
    """Everything that the sandbox serves."""
    api, front = MarketingApi(account), Front(account)
    routes = [
        Route("/3.0", api),
        Mount("/3.0", api),
        *Login(account).routes(),
        Route("/oauth2/metadata", front.metadata),
        Route(f"{archive.FOLDER}{{name}}", front.download),
        *Control(account).routes(),
        *Events(account).routes(),
        Route("/", to_page("Mailchimp sandbox", SUBTITLE, SCRIPT)),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        runner = asyncio.create_task(BatchRunner(account).run())
        yield
        runner.cancel()
        with suppress(asyncio.CancelledError):
            await runner

    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


class Front:
    """What stands on other hosts in reality: the login server and the store of results."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def metadata(self, request: Request) -> Response:
        """Which account an OAuth token belongs to."""
        content = oauth_metadata(self._account, token_of(request.headers))
        return Response(orjson.dumps(content), media_type="application/json")

    async def download(self, request: Request) -> Response:
        """The results of a batch."""
        try:
            content = archive.fetch(
                self._account,
                request.path_params["name"],
                request.query_params,
                authorized="authorization" in request.headers,
            )
        except archive.Refusal as refusal:
            return Response(refusal.body, refusal.status, media_type="application/xml")
        return Response(content, media_type="application/gzip")
