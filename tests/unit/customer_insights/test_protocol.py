"""Answers of the Web API become JSON, or the error that says what to do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from airflow_mailchimp_export.customer_insights.client import Pace
from airflow_mailchimp_export.customer_insights.protocol import (
    Answer,
    PassingFailure,
    Refusal,
    decipher,
    finish,
    headers,
)


def answer(status: int, payload: Any = None, **named: str) -> Answer:
    """An answer with JSON, or with bytes as they are."""
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return Answer(status, {name.replace("_", "-"): value for name, value in named.items()}, body)


def problem(status: int, code: str, message: str, **named: str) -> Answer:
    """An error as Dataverse writes it."""
    return answer(status, {"error": {"code": code, "message": message}}, **named)


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b'{"value":[{"a":1},', b"\xff"])
def test_what_is_no_json_is_asked_for_again(body: bytes) -> None:
    """A page of HTML or half a page of rows with status 200 is no answer."""
    with pytest.raises(PassingFailure, match="cut off or no JSON"):
        decipher("The reading", answer(200, body))


def test_another_shape_is_asked_for_again() -> None:
    """JSON without what it must have is told without quoting it."""
    with pytest.raises(PassingFailure, match=r"another shape than Dataverse's \(KeyError\)") as caught:
        finish("The reading", answer(200, {"secret@example.org": 1}), lambda payload: payload["value"])
    assert "example" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("7", 7.0), ("", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_how_long_to_wait(given: str, seconds: float | None) -> None:
    """A push-back says when to come back, in seconds or as a date."""
    with pytest.raises(PassingFailure) as caught:
        decipher("The reading", problem(429, "0x80072322", "Number of requests exceeded", retry_after=given))
    assert (caught.value.retry_after, caught.value.pushed_back) == (seconds, True)


@pytest.mark.parametrize(
    ("refused", "remedy"),
    [
        (problem(403, "0x80072560", "The user is not a member of the organization."), "application user"),
        (
            problem(
                403, "0x80040220", "Principal user is missing prvReadmsdynci_segmentmembership privilege"
            ),
            "Customer Insights Data Read Access",
        ),
        (answer(401, b""), "Tenant id"),
        (problem(404, "0x8006088a", "Resource not found for the segment 'x'."), "has refreshed once"),
        (answer(302, b""), "Organisation URL"),
    ],
)
def test_each_refusal_has_its_remedy(refused: Answer, remedy: str) -> None:
    """What is refused for good says what to do about it."""
    with pytest.raises(Refusal) as caught:
        decipher("The reading", refused)
    assert remedy in caught.value.remedy


def test_nobody_is_quoted() -> None:
    """Dataverse's own words are told without addresses, ids and tokens, and not at any length."""
    words = "No 'ce759201f786d590bf2134bff576c369' or ann@example.org, Bearer abc.def123456 " + "x" * 9_000
    with pytest.raises(Refusal) as caught:
        decipher("The reading", problem(400, "0x0", words))
    told = str(caught.value)
    assert "ce759201" not in told
    assert "ann@" not in told
    assert "abc.def" not in told
    assert len(told) < 1_000


def test_headers() -> None:
    """Each request asks for the largest pages, and for labels only where they are wanted."""
    assert headers("token")["Prefer"] == "odata.maxpagesize=5000"
    assert headers("token", labels=True)["Prefer"].endswith('FormattedValue"')
    assert headers("token")["Authorization"] == "Bearer token"


def test_pauses() -> None:
    """Pauses grow up to a ceiling, but what was asked for is waited out whole."""
    pace = Pace(first_pause=1, longest_pause=8)
    assert [pace.pause_after(failures, None, chance=1) for failures in (1, 2, 3, 4, 5, 50)] == [
        1,
        2,
        4,
        8,
        8,
        8,
    ]
    assert pace.pause_after(1, 300.0, chance=1) == 300.0
