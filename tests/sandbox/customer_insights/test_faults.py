"""Calls that go wrong, planned or drawn."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import requests

from airflow_mailchimp_export.sandbox.customer_insights.choices import PASSING, FaultKind
from tests.kit.waiting import PATIENCE
from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

SELECTED = f"{PROFILES}?$select=msdynci_email"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ("too-many-requests", 429, "0x80072322"),
        ("too-much-time", 429, "0x80072321"),
        ("too-many-at-once", 429, "0x80072326"),
        ("unavailable", 503, "0x80044150"),
        ("error", 500, "0x80040216"),
        ("503", 503, "0x0"),
        ("404-json", 404, "0x0"),
    ],
)
def test_errors(insights: Insights, answer: str, status: int, code: str) -> None:
    """An error has its status and its code, and the next call goes well."""
    insights.fault(answer)
    response = insights.call(SELECTED)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert ("Retry-After" in response.headers) is (status in {429, 503})
    assert insights.call(SELECTED).status_code == 200


@pytest.mark.parametrize(
    ("answer", "status", "begin"),
    [
        ("gateway", 502, b"<html>"),
        ("500-html", 500, b"<html>"),
        ("500-empty", 500, b""),
        ("html", 200, b"<!DOC"),
        ("empty", 200, b""),
    ],
)
def test_answers_that_are_no_json(insights: Insights, answer: str, status: int, begin: bytes) -> None:
    """A page, or nothing, comes in the place of JSON, also with status 200."""
    insights.fault(answer)
    response = insights.call(SELECTED)
    assert (response.status_code, response.content[: len(begin) or 1]) == (status, begin)
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_connection_that_is_reset(insights: Insights) -> None:
    """The connection is cut before anything was answered."""
    insights.fault("reset")
    with pytest.raises(requests.ConnectionError):
        insights.call(SELECTED)
    assert insights.call(SELECTED).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_connection_that_ends_in_the_middle_of_a_page(insights: Insights, encoding: str) -> None:
    """Half of the answer comes, under a header that announces all of it."""
    insights.fault("cut")
    with pytest.raises(
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError), match="IncompleteRead"
    ):
        insights.call(SELECTED, headers={"Accept-Encoding": encoding})
    assert insights.call(SELECTED).status_code == 200


def test_truncated_json(insights: Insights) -> None:
    """Half of the JSON comes as if it were all."""
    whole = insights.call(SELECTED).content
    insights.fault("truncated")
    half = insights.call(SELECTED).content
    assert half == whole[: len(whole) // 2]
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(half)


def test_page_without_value(insights: Insights) -> None:
    """A page is JSON, and links to the next one, but holds no rows and no list of them."""
    insights.fault("no-value")
    assert insights.get(SELECTED, size=50).keys() == {"@odata.context", "@odata.nextLink"}


def test_faults_of_pages_spoil_nothing_else(insights: Insights) -> None:
    """A fault that only a page can have leaves another answer as it is."""
    insights.fault("no-value")
    assert "UserId" in insights.get("WhoAmI")


def test_link_that_leads_back(insights: Insights) -> None:
    """A page links to itself."""
    second = insights.get(SELECTED, size=50)["@odata.nextLink"]
    insights.fault("loop")
    assert insights.get(second, size=50)["@odata.nextLink"] == second


def test_link_to_another_host(insights: Insights) -> None:
    """A page links to a host that would get the token of whoever follows."""
    insights.fault("foreign-link")
    link = insights.get(SELECTED, size=50)["@odata.nextLink"]
    assert (urlsplit(link).scheme, urlsplit(link).netloc) == ("https", "attacker.example")


def test_row_that_comes_twice(insights: Insights) -> None:
    """A page begins with the last row of the one before, and goes on without a gap."""
    once = insights.ids(PROFILES, 50)
    insights.fault("repeated-row", skip=1)
    assert insights.ids(PROFILES, 50) == [*once[:50], *once[49:]]


def test_token_that_is_revoked_between_two_pages(insights: Insights) -> None:
    """In the middle of a reading the token is no longer valid; with a new one the link goes on."""
    link = insights.get(SELECTED, size=50)["@odata.nextLink"]
    insights.fault("unauthorized")
    assert [insights.call(link).status_code for _ in range(2)] == [401, 401]
    insights.log_in()
    assert insights.call(link).status_code == 200


def test_delay(insights: Insights) -> None:
    """The right answer comes late."""
    insights.set(fault_delay=0.05)
    insights.fault("delay")
    assert len(insights.get(SELECTED)["value"]) == 200
    assert insights.control("requests", last=1)["requests"][0]["seconds"] >= 0.05


def test_token_endpoint_goes_wrong_too(insights: Insights) -> None:
    """Faults can wait for the token endpoint."""
    insights.fault("503", path="/*/oauth2/v2.0/token", count=2)
    assert insights.call(SELECTED).status_code == 200
    assert [insights.ask_token().status_code for _ in range(3)] == [503, 503, 200]


def test_plan(insights: Insights) -> None:
    """Faults wait for the calls that they match, come in their order, and show what is left of them."""
    path = f"/api/data/v9.2/{MEMBERSHIPS}"
    insights.control(
        "faults",
        {"faults": [{"answer": "500", "path": path, "skip": 1}, {"answer": "404", "path": path, "count": 2}]},
    )
    answers = [insights.call(one).status_code for one in (PROFILES, MEMBERSHIPS, MEMBERSHIPS)]
    # The first of them lets one call go well, which the second takes.
    assert answers == [200, 404, 500]
    assert insights.control("faults")["faults"] == [
        {"method": "*", "path": path, "answer": "404", "count": 1, "skip": 0}
    ]
    insights.control("faults/clear", {})
    assert insights.call(MEMBERSHIPS).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"answer": "bad luck"}, {"answer": "200"}, {"answer": "500", "times": 1}]
)
def test_faults_that_cannot_be(insights: Insights, body: dict[str, Any]) -> None:
    """A fault that cannot be planned says why, and nothing is planned."""
    answer = requests.post(f"{insights.url}/sandbox/faults", json=body, timeout=PATIENCE)
    assert answer.status_code == 400
    assert "fault" in answer.json()["error"]
    assert insights.control("faults") == {"faults": []}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_share_of_the_answers_goes_wrong_in_the_same_places_each_time(
    insights: Insights, seed: int
) -> None:
    """Faults are drawn from the seed and the call, so that a reading meets the same ones in each run."""
    insights.load(fault_rate=0.3, seed=seed, fault_delay=0, retry_after_seconds=0)
    first = walk(insights)
    insights.control("reset", {})
    insights.set(fault_rate=0)
    insights.log_in()
    insights.set(fault_rate=0.3)
    assert walk(insights) == first
    told = Counter(first)
    assert told["page"] == 50
    assert 10 <= len(first) - 50 <= 40
    assert len(told) > 4


def walk(insights: Insights) -> list[str]:
    """What came of every attempt to read all profiles, each page being tried until it comes."""
    seen: list[str] = []
    link: str | None = f"{insights.root}/{SELECTED}"
    while link:
        page = None
        with contextlib.suppress(requests.RequestException):
            answer = insights.call(link, headers={"Prefer": "odata.maxpagesize=4"})
            seen.append(str(answer.status_code))
            page = answer.json() if answer.status_code == 200 else None
        if page and "value" in page:
            seen[-1] = "page"
            link = page.get("@odata.nextLink")
    return seen


def test_every_way_of_going_wrong_can_be_drawn(insights: Insights) -> None:
    """Without a choice, the faults are those that pass; any can be chosen."""
    assert insights.control("settings")["faults"] == list(PASSING)
    for kind in FaultKind:
        insights.set(faults=[kind], fault_rate=1, fault_delay=0)
        with contextlib.suppress(requests.RequestException):
            insights.call(SELECTED, headers={"Prefer": "odata.maxpagesize=4"})
        assert insights.control("stats")["faults"][kind] == 1
        insights.set(fault_rate=0)
        insights.log_in()


def test_stats(insights: Insights) -> None:
    """Calls are counted by what they were and how they ended, and the log names them."""
    insights.get(f"{PROFILES}?$top=3")
    insights.call("msdynci_nothing")
    insights.call(f"{PROFILES}/$count")
    stats = insights.control("stats")
    assert stats["requests"]["GET msdynci_customerprofiles"] == {"200": 1}
    assert stats["requests"]["GET msdynci_nothing"] == {"404": 1}
    assert stats["requests"]["GET msdynci_customerprofiles/$count"] == {"200": 1}
    assert stats["rows"] == 3
    logged = insights.control("requests", last=3)["requests"]
    assert [one["path"].rpartition("/")[2] for one in logged] == [
        f"{PROFILES}?$top=3",
        "msdynci_nothing",
        "$count",
    ]
