"""Signing in by OAuth 2, as a browser and an app do it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mailchimp_marketing
import pytest
import requests

from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import Sandbox

HERE = "http://127.0.0.1:1/mailchimp/back?from=here"
STATE = "st&te\"'<b>"


def asked(sandbox: Sandbox, **other: str) -> dict[str, str]:
    """What an app asks with."""
    client_id = sandbox.control("/settings")["oauth_client_id"]
    usual = {"response_type": "code", "client_id": client_id, "redirect_uri": HERE, "state": STATE}
    return {name: value for name, value in {**usual, **other}.items() if value}


def answer(sandbox: Sandbox, button: str, **other: str) -> requests.Response:
    """What the browser gets for a button of the page, which is sent as the page has it."""
    page = requests.get(f"{sandbox.url}/oauth2/authorize", asked(sandbox, **other), timeout=PATIENCE)
    assert page.status_code == 200, page.text
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page.text))
    form = {name: unescape(value) for name, value in hidden.items()} | {"answer": button}
    url = f"{sandbox.url}/oauth2/authorize"
    return requests.post(url, form, timeout=PATIENCE, allow_redirects=False)


def told(sandbox: Sandbox, button: str, **other: str) -> dict[str, list[str]]:
    """What the app is told."""
    return parse_qs(urlsplit(answer(sandbox, button, **other).headers["Location"]).query)


def code_of(sandbox: Sandbox) -> str:
    """A code."""
    return told(sandbox, "allow")["code"][0]


def exchange(sandbox: Sandbox, code: str, /, **other: str) -> requests.Response:
    """The answer to an app that has a code."""
    settings = sandbox.control("/settings")
    form = {
        "grant_type": "authorization_code",
        "client_id": settings["oauth_client_id"],
        "client_secret": settings["oauth_client_secret"],
        "redirect_uri": HERE,
        "code": code,
        **other,
    }
    return requests.post(f"{sandbox.url}/oauth2/token", form, timeout=PATIENCE)


def test_agreeing(sandbox: Sandbox) -> None:
    """Who agrees is sent back with a code and the state, which is text, whatever is in it."""
    back = answer(sandbox, "allow")
    assert back.status_code == 302
    assert back.headers["Location"].startswith(f"{HERE}&code=")
    assert told(sandbox, "allow")["state"] == [STATE]


def test_refusing(sandbox: Sandbox) -> None:
    """Who refuses is sent back with an error, and without a code."""
    assert told(sandbox, "deny") == {"from": ["here"], "error": ["access_denied"], "state": [STATE]}
    assert told(sandbox, "deny", state="") == {"from": ["here"], "error": ["access_denied"]}


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"client_id": "0"}, "client_id"),
        ({"response_type": "token"}, "response_type"),
        ({"redirect_uri": ""}, "redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_strange_apps(sandbox: Sandbox, other: dict[str, str], fault: str, method: str) -> None:
    """An app that is not known is told so on a page, and the browser is sent nowhere."""
    given: Any = asked(sandbox, **other)
    where = {"params": given} if method == "GET" else {"data": given | {"answer": "allow"}}
    url = f"{sandbox.url}/oauth2/authorize"
    page = requests.request(method, url, timeout=PATIENCE, allow_redirects=False, **where)
    assert (page.status_code, fault in page.text) == (400, True)


def test_a_registered_place(sandbox: Sandbox) -> None:
    """Where a place is registered, each letter of it counts."""
    sandbox.set(oauth_redirect_uri=HERE)
    assert told(sandbox, "allow")["code"]
    url = f"{sandbox.url}/oauth2/authorize"
    refused = requests.get(url, asked(sandbox, redirect_uri=f"{HERE}/"), timeout=PATIENCE)
    assert refused.status_code == 400


def test_a_token(sandbox: Sandbox) -> None:
    """A code gives a token that opens the API and the metadata, also to the official client."""
    given = exchange(sandbox, code_of(sandbox))
    assert given.headers["Cache-Control"] == "no-store"
    content = given.json()
    assert (content["expires_in"], content["scope"]) == (0, None)
    token = content["access_token"]
    headers = {"Authorization": f"OAuth {token}"}
    found = requests.get(f"{sandbox.url}/oauth2/metadata", headers=headers, timeout=PATIENCE).json()
    assert (found["dc"], found["api_endpoint"]) == ("us0", sandbox.url)
    client = mailchimp_marketing.Client({"access_token": token, "server": "us0"})
    client.api_client.host = f"{sandbox.url}/3.0"
    assert client.ping.get() == {"health_status": "Everything's Chimpy!"}
    basic = requests.get(f"{sandbox.url}/3.0/ping", auth=("anybody", token), timeout=PATIENCE)
    assert basic.status_code == 200


def test_a_code_is_good_once(sandbox: Sandbox) -> None:
    """The second exchange of a code is refused."""
    code = code_of(sandbox)
    assert exchange(sandbox, code).status_code == 200
    again = exchange(sandbox, code)
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})


def test_a_code_ends(sandbox: Sandbox) -> None:
    """A code that is too old is refused."""
    code = code_of(sandbox)
    sandbox.set(clock_shift=62.0)
    assert exchange(sandbox, code).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("other", "status", "error"),
    [
        ({"client_secret": "of before"}, 401, "invalid_client"),
        ({"client_id": "0"}, 401, "invalid_client"),
        ({"redirect_uri": "http://127.0.0.1:1/elsewhere"}, 400, "invalid_grant"),
        ({"code": "of nobody"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_exchanges_that_are_refused(sandbox: Sandbox, other: dict[str, str], status: int, error: str) -> None:
    """Secret, app, place, code and kind of grant have to be right, each."""
    refused = exchange(sandbox, code_of(sandbox), **other)
    assert (refused.status_code, refused.json()) == (status, {"error": error})


def test_a_revoked_token(sandbox: Sandbox) -> None:
    """Tokens that are taken back are 401, and unknown to the metadata; codes are worth nothing then, either."""
    token, code = exchange(sandbox, code_of(sandbox)).json()["access_token"], code_of(sandbox)
    assert sandbox.control("/oauth/revoke", {}) == {"revoked": 1}
    headers = {"Authorization": f"Bearer {token}"}
    ping = requests.get(f"{sandbox.url}/3.0/ping", headers=headers, timeout=PATIENCE)
    assert (ping.status_code, ping.json()["title"]) == (401, "API Key Invalid")
    metadata = requests.get(f"{sandbox.url}/oauth2/metadata", headers=headers, timeout=PATIENCE)
    assert metadata.json() == {"error": "invalid_token"}
    assert exchange(sandbox, code).json() == {"error": "invalid_grant"}
