"""``/oauth2/authorize`` and ``/oauth2/token``: somebody agrees in a browser, and an app gets a token.

https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.root import ACCOUNT_NAME
from airflow_mailchimp_export.sandbox.settings import Settings

ASKED = ("response_type", "client_id", "redirect_uri", "state")

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Mailchimp sandbox</title>
<body style="font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem">
<h1>{heading}</h1>{content}</body></html>"""

_ASKING = """<p>An app asks for access to everything in the account <b>{account}</b> of this sandbox.</p>
<form method="post" action="/oauth2/authorize">{hidden}
<button name="answer" value="allow">Allow</button> <button name="answer" value="deny">Deny</button></form>"""

# No script at all; form-action is left out, because browsers hold it against the redirect to the app, too.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Login:
    """The login server of one account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def routes(self) -> list[Route]:
        """Where it is asked what."""
        return [
            Route("/oauth2/authorize", self.ask),
            Route("/oauth2/authorize", self.answer, methods=["POST"]),
            Route("/oauth2/token", self.token, methods=["POST"]),
        ]

    async def ask(self, request: Request) -> Response:
        """Ask whoever is at the browser, who needs no password here."""
        asked = {name: request.query_params[name] for name in ASKED if name in request.query_params}
        if fault := _fault_of(asked, self._account.settings):
            return _page("This app cannot be let in", f"<p>{escape(fault)}</p>", 400)
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in asked.items()
        )
        return _page("Allow access?", _ASKING.format(account=escape(ACCOUNT_NAME), hidden=hidden))

    async def answer(self, request: Request) -> Response:
        """Send the browser back to the app, with a code or with a refusal."""
        given = await _form(request)
        asked = {name: given[name] for name in ASKED if name in given}
        if fault := _fault_of(asked, self._account.settings):
            return _page("This app cannot be let in", f"<p>{escape(fault)}</p>", 400)
        told = {"error": "access_denied"} if given.get("answer") != "allow" else {"code": self._code(asked)}
        told |= {"state": asked["state"]} if "state" in asked else {}
        joint = "&" if urlsplit(asked["redirect_uri"]).query else "?"
        return RedirectResponse(f"{asked['redirect_uri']}{joint}{urlencode(told)}", 302, headers=_HEADERS)

    def _code(self, asked: Mapping[str, str]) -> str:
        until = self._account.now() + self._account.settings.oauth_code_lifetime
        return self._account.grants.agree(asked["redirect_uri"], until)

    async def token(self, request: Request) -> Response:
        """Give a token for a code."""
        given, settings = await _form(request), self._account.settings
        if given.get("grant_type") != "authorization_code":
            return _refused(400, "unsupported_grant_type")
        if not _is_app(given, settings):
            return _refused(401, "invalid_client")
        token = self._account.grants.redeem(
            given.get("code", ""), given.get("redirect_uri", ""), self._account.now()
        )
        if token is None:
            return _refused(400, "invalid_grant")
        return _json(200, {"access_token": token, "expires_in": 0, "scope": None})


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode("utf-8", errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def _fault_of(asked: Mapping[str, str], settings: Settings) -> str:
    if asked.get("response_type") != "code":
        return "response_type has to be code."
    if asked.get("client_id") != settings.oauth_client_id:
        return "There is no app with this client_id."
    place = asked.get("redirect_uri", "")
    if urlsplit(place).scheme not in {"http", "https"} or place != (settings.oauth_redirect_uri or place):
        return "redirect_uri is not the one that the app is registered with."
    return ""


def _is_app(given: Mapping[str, str], settings: Settings) -> bool:
    known = given.get("client_id") == settings.oauth_client_id
    secret = given.get("client_secret", "").encode()
    return known and compare_digest(secret, settings.oauth_client_secret.encode())


def _page(heading: str, content: str, status: int = 200) -> Response:
    text = _PAGE.format(heading=escape(heading), content=content)
    return Response(text, status, headers=_HEADERS, media_type="text/html; charset=utf-8")


def _refused(status: int, error: str) -> Response:
    return _json(status, {"error": error})


def _json(status: int, content: object) -> Response:
    body = orjson.dumps(content)
    return Response(body, status, headers={"Cache-Control": "no-store"}, media_type="application/json")
