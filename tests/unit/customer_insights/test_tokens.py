"""Tokens: kept until shortly before their end, and each refusal with its remedy."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from airflow_mailchimp_export.customer_insights.protocol import Answer, PassingFailure, Refusal
from airflow_mailchimp_export.customer_insights.tokens import Token, Tokens, read_token, token_form, token_url
from airflow_mailchimp_export.settings.insights import InsightsSettings

SETTINGS = InsightsSettings.from_parts(
    login="00001111-aaaa-2222-bbbb-3333cccc4444",
    password="its~secret",
    host="https://contoso.api.crm4.dynamics.com",
    port=443,
    extra={"tenant_id": "contoso.onmicrosoft.com"},
)


def answer(status: int, payload: Any) -> Answer:
    """An answer of the authority."""
    return Answer(status, {}, payload if isinstance(payload, bytes) else orjson.dumps(payload))


def test_what_is_asked() -> None:
    """The secret goes to the authority of the organisation's cloud, for the organisation alone."""
    assert (
        token_url(SETTINGS) == "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token"
    )
    assert token_form(SETTINGS) == {
        "grant_type": "client_credentials",
        "client_id": "00001111-aaaa-2222-bbbb-3333cccc4444",
        "client_secret": "its~secret",
        "scope": "https://contoso.crm4.dynamics.com/.default",
    }
    assert "its~secret" not in repr(SETTINGS)


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    """An hour's token serves for 55 minutes; one that was refused serves no more."""
    now, given = [0.0], iter(["a", "b", "c"])
    tokens = Tokens(lambda: Token(next(given), 3600), clock=lambda: now[0])
    assert [tokens.current(), tokens.current()] == ["a", "a"]
    now[0] = 3299
    assert tokens.current() == "a"
    now[0] = 3301
    assert tokens.current() == "b"
    assert tokens.current(refused="b") == "c"
    assert tokens.current(refused="b") == "c"


@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (7000215, "invalid_client", "not its Secret ID"),
        (7000222, "invalid_client", "has expired"),
        (700016, "unauthorized_client", "no such app registration"),
        (90002, "invalid_request", "no such directory"),
        (500011, "invalid_resource", "Correct Organisation URL"),
        (12345, "invalid_client", "Client secret"),
        (12345, "strange", "Check Authority"),
    ],
)
def test_each_refusal_has_its_remedy(number: int, kind: str, remedy: str) -> None:
    """The number says what is wrong; the authority's sentences are not told."""
    told = {"error": kind, "error_description": f"AADSTS{number}: for app ann@example.org. Trace ID: 1"}
    with pytest.raises(Refusal) as caught:
        read_token(answer(401, told))
    assert remedy in caught.value.remedy
    assert f"AADSTS{number}" in caught.value.happened
    assert "Trace" not in str(caught.value)
    assert "ann@" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        answer(503, b""),
        answer(429, b""),
        answer(200, b"<html>"),
        answer(200, {}),
        answer(200, {"access_token": "a b", "expires_in": 1}),
        answer(200, {"access_token": 7, "expires_in": 1}),
        answer(200, {"access_token": "a", "expires_in": "soon"}),
    ],
)
def test_what_is_no_token_is_asked_for_again(given: Answer) -> None:
    """Nothing but a token with its time is one."""
    with pytest.raises(PassingFailure):
        read_token(given)
