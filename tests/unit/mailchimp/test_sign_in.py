"""The exchange of a code for a token, whatever is answered to it."""

from __future__ import annotations

import traceback
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from airflow_mailchimp_export.errors import AccessDenied, RetryableError
from airflow_mailchimp_export.mailchimp.protocol import Response
from airflow_mailchimp_export.mailchimp.sign_in import App, read_token
from tests.kit.http import End, ScriptedServer, Wire, to_page, to_response

BACK = "https://airflow.example/team/mailchimp/sign-in/callback"
SECRETS = ("hush", "c0de", "t0ken")


def app(origin: str = "https://login.mailchimp.com") -> App:
    """An app."""
    return App("1234", "hush", authorize_origin=origin, token_origin=origin, redirect_uri=BACK)


def test_the_browser_is_sent() -> None:
    """The address has all that Mailchimp asks for, and no secret."""
    url = urlsplit(app().authorize_url("a b&c"))
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://login.mailchimp.com/oauth2/authorize"
    assert parse_qs(url.query) == {
        "response_type": ["code"], "client_id": ["1234"], "redirect_uri": [BACK], "state": ["a b&c"],
    }  # fmt: skip
    assert "hush" not in repr(app())


def test_the_exchange() -> None:
    """The code goes with the secret in a form, once, and what comes back is the token."""
    with ScriptedServer(to_response({"access_token": "t0ken", "expires_in": 0, "scope": None})) as server:
        assert app(server.url).exchange("c0de") == "t0ken"
    (sent,) = server.received
    assert (sent.method, sent.target) == ("POST", "/oauth2/token")
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(sent.body.decode()) == {
        "grant_type": ["authorization_code"], "client_id": ["1234"], "client_secret": ["hush"],
        "redirect_uri": [BACK], "code": ["c0de"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "payload", "remedy"),
    [
        (401, {"error": "invalid_client"}, "Correct [mailchimp] oauth_client_id and oauth_client_secret"),
        (400, {"error": "invalid_grant", "error_description": "c0de"}, "Begin the sign-in again"),
        (400, {"error": "c0de t0ken"}, "Check [mailchimp] oauth_token_origin"),
        (400, {"error": {"a": 1}}, "Check [mailchimp] oauth_token_origin"),
        (404, [], "Check [mailchimp] oauth_token_origin"),
        (302, {}, "Check [mailchimp] oauth_token_origin"),
    ],
)
def test_refusals(status: int, payload: Any, remedy: str) -> None:
    """A refusal says by its kind what to do, and repeats nothing that was sent."""
    with pytest.raises(AccessDenied) as refused:
        read_token(to_response(payload, status))
    assert refused.value.remedy.startswith(remedy)
    assert refused.value.status == status
    assert not any(secret in str(refused.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "answer",
    [
        to_response({"access_token": ""}),
        to_response({"access_token": "t0ken\r\nX: y"}),
        to_response({"access_token": ["t0ken"]}),
        to_response({"error": "invalid_grant"}),
        to_response("t0ken"),
        to_page(200),
        to_page(502),
        to_response({"error": "slow_down"}, 429),
        Response(200, {}, b"[" * 5_000),
        Response(200, {}, orjson.dumps({"access_token": "t0ken" + "a" * 70_000})),
        Wire(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"),
        Wire(b"220 smtp.people.example ESMTP ready\r\n\r\n"),
        Wire(end=End.RESET),
    ],
)
def test_what_is_no_answer(answer: Any) -> None:
    """Whatever else comes back is an error of ours with a remedy, and nothing that was sent is in it, by any way."""
    with ScriptedServer(answer) as server, pytest.raises(RetryableError) as broken:
        app(server.url).exchange("c0de")
    assert len(server.received) == 1
    told = "".join(traceback.format_exception(broken.value, chain=True))
    assert not any(f"'{secret}" in told or f"={secret}" in told or f" {secret}" in told for secret in SECRETS)


@pytest.mark.parametrize("end", [End.STALL, End.TRICKLE])
def test_nobody_is_waited_for_without_an_end(end: End) -> None:
    """An answer that does not come, or comes by the letter, ends the exchange in time."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"
    with ScriptedServer(Wire(head, end)) as server, pytest.raises(RetryableError):
        app(server.url).exchange("c0de", timeout=0.3)


def test_redirects_are_not_followed() -> None:
    """The secret goes nowhere but where it was told to."""
    with ScriptedServer(to_response({"access_token": "t0ken"})) as elsewhere:
        moved = Response(307, {"location": f"{elsewhere.url}/oauth2/token"}, b"")
        with ScriptedServer(moved) as server, pytest.raises(AccessDenied, match="answered 307"):
            app(server.url).exchange("c0de")
    assert elsewhere.received == []
