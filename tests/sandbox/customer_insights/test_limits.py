"""Service protection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_mailchimp_export.sandbox.customer_insights.protection import Protection
from airflow_mailchimp_export.sandbox.customer_insights.settings import Settings
from tests.kit.waiting import PATIENCE, wait_until
from tests.sandbox.customer_insights.driver import Insights

SLOW = 3600
"""Seconds: a call that takes so long ends when the test says so."""


@pytest.fixture
def limited(insights: Insights) -> Iterator[Insights]:
    """Nothing counts for the limits yet, and nothing will afterwards."""
    insights.load()
    yield insights
    insights.control("reset", {})


def test_number_of_requests(limited: Insights) -> None:
    """The request after the last one that is allowed is answered 429, with the seconds until there is room again."""
    limited.set(request_limit=3)
    assert [limited.call("WhoAmI").status_code for _ in range(4)] == [200, 200, 200, 429]
    code, message = limited.error("WhoAmI", 429)
    assert code == "0x80072322"
    assert message == "Number of requests exceeded the limit of 3 over time window of 300 seconds."
    assert 1 <= int(limited.call("WhoAmI").headers["Retry-After"]) <= 300


def test_execution_time(limited: Insights) -> None:
    """Calls that took too long together are followed by a 429."""
    limited.set(time_limit=10, execution_time=6)
    assert [limited.call("WhoAmI").status_code for _ in range(3)] == [200, 200, 429]
    code, message = limited.error("WhoAmI", 429)
    assert (code, message[:23]) == ("0x80072321", "Combined execution time")


def test_requests_at_once(limited: Insights) -> None:
    """The call past the limit of calls that are under way is answered 429, and soon there is room again."""
    limited.set(concurrency_limit=2, latency=SLOW)
    headers = dict(limited.session.headers)
    with ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(requests.get, f"{limited.root}/WhoAmI", headers=headers, timeout=PATIENCE)
            for _ in range(2)
        ]
        wait_until(lambda: limited.control("stats")["in_flight"] == 2, "that two calls are under way")
        answer = limited.call("WhoAmI")
        limited.set(latency=0)
        assert [call.result().status_code for call in calls] == [200, 200]
    assert answer.json()["error"] == {
        "code": "0x80072326",
        "message": "Number of concurrent requests exceeded the limit of 2.",
    }
    assert answer.headers["Retry-After"] == "1"
    assert limited.call("WhoAmI").status_code == 200


def test_what_is_left(limited: Insights) -> None:
    """Answers say how much is left of the limits."""
    headers = limited.call("WhoAmI").headers
    assert headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "5999"
    assert 1199 <= float(headers["x-ms-ratelimit-time-remaining-xrm-requests"]) <= 1200


@pytest.mark.parametrize("form", ["seconds", "date", "none"])
def test_retry_after(insights: Insights, form: str) -> None:
    """When to come back is said in seconds, as a date, or not at all."""
    insights.set(retry_after=form, retry_after_seconds=7)
    insights.fault("too-many-requests")
    before = time.time()
    headers = insights.call("WhoAmI").headers
    if form == "date":
        moment = parsedate_to_datetime(headers["Retry-After"]).timestamp()
        assert before + 6 <= moment <= time.time() + 8
    else:
        assert headers.get("Retry-After") == {"seconds": "7", "none": None}[form]


def test_window_slides() -> None:
    """What happened before the window counts no more; calls that are refused count on, and so lengthen the wait."""
    moment = [0.0]
    protection = Protection(Settings(request_limit=2), lambda: moment[0])
    waits = []
    for moment[0] in (0.0, 10.0, 20.0, 30.0, 40.0):
        refused = protection.enter()
        waits.append(refused[1] if refused else 0)
    assert waits == [0, 0, 280, 280, 280]
    moment[0] = 320.5
    refused = protection.enter()
    assert refused
    assert refused[1] == 10
    moment[0] = 700
    assert protection.enter() is None
    protection.leave(1100)
    assert protection.left()["x-ms-ratelimit-time-remaining-xrm-requests"] == "100.00"
    moment[0] = 1001
    assert protection.enter() is None
    assert protection.left()["x-ms-ratelimit-time-remaining-xrm-requests"] == "1200.00"
