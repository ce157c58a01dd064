"""Calls that go wrong: how each looks, whether the work was done, and that it happens again the same way."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.faults import Injector
from airflow_mailchimp_export.sandbox.settings import Settings
from tests.sandbox.driver import LIST, Sandbox, person


def send(sandbox: Sandbox, kind: str) -> tuple[requests.Response | None, bool]:
    """The answer to a call with this fault, and whether its work was done."""
    sandbox.set(fault_rate=1, faults=[kind], fault_delay=0.05)
    answer = None
    try:
        answer = sandbox.call("POST", LIST, {"members": [person("ada@people.example")]})
    except requests.ConnectionError:
        sandbox.session.close()
    return answer, bool(sandbox.control("/members")["members"])


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "applied"),
    [
        ("throttled", 429, "application/problem+json; charset=utf-8", False),
        ("forbidden", 403, "text/html", False),
        ("error", 500, "application/problem+json; charset=utf-8", False),
        ("gateway", 502, "text/html", True),
        ("unavailable", 503, "text/html", False),
        ("truncated", 200, "application/json; charset=utf-8", True),
        ("garbage", 200, "text/html", True),
        ("delay", 200, "application/json; charset=utf-8", True),
    ],
)
def test_answered(sandbox: Sandbox, kind: str, status: int, content_type: str, applied: bool) -> None:
    """Each fault has its status and its kind of body, and some come after the work was done."""
    answer, done = send(sandbox, kind)
    assert answer is not None
    assert (answer.status_code, answer.headers["Content-Type"], done) == (status, content_type, applied)
    assert sandbox.control("/stats")["faults"] == {kind: 1}


@pytest.mark.parametrize(("kind", "applied"), [("reset-before", False), ("reset-after", True)])
def test_cut(sandbox: Sandbox, kind: str, applied: bool) -> None:
    """A connection can be cut before the work and after it."""
    assert send(sandbox, kind) == (None, applied)
    assert sandbox.control("/requests", last=1)["requests"][0]["status"] == 0


@pytest.mark.parametrize("kind", ["truncated", "garbage"])
def test_no_json(sandbox: Sandbox, kind: str) -> None:
    """A truncated body and a page in the place of JSON come with status 200, but cannot be read."""
    answer, _ = send(sandbox, kind)
    assert answer is not None
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_nothing_to_truncate(sandbox: Sandbox) -> None:
    """An answer without a body cannot be truncated."""
    sandbox.put({"email": "ada@people.example", "status": "subscribed"})
    sandbox.set(fault_rate=1, faults="truncated")
    assert sandbox.call("DELETE", f"{LIST}/members/ada@people.example").status_code == 204


def draws(**settings: Any) -> list[FaultKind | None]:
    """The faults of the same 400 calls."""
    injector = Injector(Settings(**settings))
    return [injector.draw("POST", LIST, str(number % 100).encode()) for number in range(400)]


def test_drawn_again() -> None:
    """The same seed draws the same faults, and another seed draws others."""
    assert draws(fault_rate=0.3, seed=1) == draws(fault_rate=0.3, seed=1) != draws(fault_rate=0.3, seed=2)


def test_order_plays_no_part() -> None:
    """Which call goes wrong depends on the call and on how often it was made, not on when it arrives."""
    forwards, backwards = (Injector(Settings(fault_rate=0.5)) for _ in range(2))
    bodies = [str(number).encode() for number in range(50)]
    first = {body: forwards.draw("POST", LIST, body) for body in bodies}
    assert first == {body: backwards.draw("POST", LIST, body) for body in reversed(bodies)}


def test_rate() -> None:
    """The share of faults is about the one that is set, of every kind, and none without a rate or a kind."""
    found = [fault for fault in draws(fault_rate=0.3) if fault]
    assert 80 < len(found) < 160
    assert set(found) == set(FaultKind)
    assert not any(draws(fault_rate=0))
    assert not any(draws(fault_rate=1, faults=()))


def test_retries_get_through() -> None:
    """A call that goes wrong does not do so for ever."""
    injector = Injector(Settings(fault_rate=0.5))
    assert None in [injector.draw("GET", "/ping", b"") for _ in range(30)]
