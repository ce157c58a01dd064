"""The endpoints under ``/sandbox/``, the page, and what is counted."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
import requests

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.meter import Entry, Meter
from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import LIST, Sandbox, person

ADA, BOB = "ada@people.example", "bob@people.example"


def refused(sandbox: Sandbox, path: str, body: Any) -> tuple[int, str]:
    """Status and message of a control call that fails."""
    answer = requests.post(f"{sandbox.url}/sandbox{path}", data=json.dumps(body), timeout=PATIENCE)
    return answer.status_code, answer.json()["error"]


def test_stats(sandbox: Sandbox) -> None:
    """Requests are counted by operation and status, and rows by how often an address came."""
    sandbox.subscribe(person(ADA), person(BOB))
    sandbox.subscribe(person(ADA.upper()), person("nobody"))
    sandbox.problem("GET", "/nothing")
    sandbox.problem("GET", f"{LIST}/members/{ADA}x")
    sandbox.run_batch({"method": "GET", "path": "/ping"})
    stats = sandbox.control("/stats")
    assert stats["requests"]["POST /lists/{list_id}"] == {"200": 2}
    assert stats["requests"]["GET (no such resource)"] == {"404": 1}
    assert stats["requests"]["GET /lists/{list_id}/members/{subscriber_hash}"] == {"404": 1}
    assert stats["operations"] == {"GET /ping": {"200": 1}}
    assert stats["member_rows"] == {"received": 4, "handled": 4, "distinct": 3, "repeated": 1}
    assert stats["bytes"]["in"] > 200
    assert stats["bytes"]["out"] > 1000


def test_reset_stats(sandbox: Sandbox) -> None:
    """After a reset everything is counted from nothing, and addresses can be left uncounted."""
    sandbox.subscribe(person(ADA))
    sandbox.set(count_distinct=False)
    sandbox.control("/stats/reset", {})
    sandbox.subscribe(person(ADA))
    assert sandbox.control("/stats")["member_rows"] == {
        "received": 1,
        "handled": 1,
        "distinct": 0,
        "repeated": 0,
    }


def test_requests(sandbox: Sandbox) -> None:
    """The last requests are listed oldest first, with their members and without their bodies."""
    sandbox.get("/ping")
    sandbox.subscribe(person(ADA))
    found = sandbox.control("/requests", last=2)["requests"]
    assert [(one["method"], one["path"], one["status"], one["members"]) for one in found] == [
        ("GET", "/ping", 200, 0),
        ("POST", LIST, 200, 1),
    ]
    assert sandbox.control("/requests", last=0)["requests"] == []


def test_members(sandbox: Sandbox) -> None:
    """The dump has every member, archived ones too, as JSON and as lines."""
    sandbox.put(
        {"email": ADA, "status": "unsubscribed", "compliance": True, "fname": "Ada", "tags": "VIP;New"},
        {"email": BOB, "status": "archived", "last_changed": "2026-01-01", "tags": "VIP;New"},
    )
    members = sandbox.control("/members")["members"]
    assert members[0] | {"hash": "", "last_changed": ""} == {
        "email": ADA,
        "hash": "",
        "status": "unsubscribed",
        "compliance": True,
        "tags": ["VIP", "New"],
        "merge_fields": {"FNAME": "Ada"},
        "last_changed": "",
    }
    assert (members[1]["status"], members[1]["last_changed"]) == ("archived", "2026-01-01T00:00:00+00:00")
    lines = requests.get(f"{sandbox.url}/sandbox/members?format=jsonl", timeout=PATIENCE).text.splitlines()
    assert [json.loads(line) for line in lines] == members


def test_put_members_changes(sandbox: Sandbox) -> None:
    """Members that are put in again keep what is not named."""
    sandbox.put({"email": ADA, "status": "unsubscribed", "compliance": True, "tags": ["VIP"]})
    sandbox.put({"email": ADA, "merge_fields": {"LNAME": "Lovelace"}, "tags": []})
    member = sandbox.member(ADA)
    assert (member["status"], member["compliance"], member["tags"]) == ("unsubscribed", True, [])
    assert member["merge_fields"] == {"LNAME": "Lovelace"}


def test_other_audience(sandbox: Sandbox) -> None:
    """An audience that does not exist can neither be dumped nor filled."""
    answer = requests.get(f"{sandbox.url}/sandbox/members?audience=x", timeout=PATIENCE)
    assert answer.status_code == 404
    assert refused(sandbox, "/members", {"audience": "x"})[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/members", {"members": [{"status": "subscribed"}]}, "Each member needs an email."),
        ("/members", {"members": [{"email": ADA, "status": "gone"}]}, "'gone' is no status."),
        ("/members", [], "A JSON object is needed."),
        ("/settings", {"latency": 1, "speed": 1}, "There is no setting 'speed'."),
        ("/settings", {"latency": "fast"}, "The setting 'latency' cannot be 'fast'."),
        ("/settings", {"latency": True}, "The setting 'latency' cannot be True."),
        ("/settings", {"key": 1}, "The setting 'key' cannot be 1."),
        ("/settings", {"batch_gone": "perhaps"}, "The setting 'batch_gone' cannot be 'perhaps'."),
        ("/settings", {"faults": ["bad luck"]}, "The setting 'faults' cannot be ['bad luck']."),
    ],
)
def test_refused(sandbox: Sandbox, path: str, body: Any, message: str) -> None:
    """A control call that cannot be done says why, and changes nothing."""
    assert refused(sandbox, path, body) == (400, message)
    assert sandbox.control("/settings")["latency"] == 0


def test_settings(sandbox: Sandbox) -> None:
    """Settings take JSON values and the texts of the command line alike."""
    sandbox.set(
        batch_gone="true", compress="0", retry_after="3", faults="delay, error", fake_domains=["x.example"]
    )
    found = sandbox.control("/settings")
    assert (found["batch_gone"], found["compress"], found["retry_after"]) == (True, False, 3)
    assert (found["faults"], found["fake_domains"]) == (["delay", "error"], ["x.example"])


def test_reset(sandbox: Sandbox) -> None:
    """After a reset the account is empty, and its settings are as they were."""
    sandbox.set(retry_after=3)
    batch = sandbox.run_batch({"method": "GET", "path": "/ping"})
    sandbox.put({"email": ADA, "status": "subscribed", "tags": ["VIP"]})
    sandbox.control("/reset", {})
    assert sandbox.control("/members")["members"] == []
    assert sandbox.problem("GET", f"/batches/{batch['id']}")["status"] == 404
    assert sandbox.control("/settings")["retry_after"] == 3


def test_no_faults_here(sandbox: Sandbox) -> None:
    """Control calls need no key, are not throttled, and never go wrong."""
    sandbox.set(fault_rate=1, max_connections=0, latency=5)
    assert sandbox.control("/stats")["in_flight"]["now"] == 0


def test_overview(sandbox: Sandbox) -> None:
    """What the page shows has audiences, tags, members, batches and rates."""
    sandbox.subscribe(person(ADA, merge_fields={"FNAME": "Ada"}, tags=["VIP"]), person(BOB, "cleaned"))
    sandbox.subscribe(person(ADA, tags=["New"]))
    sandbox.run_batch({"method": "GET", "path": "/ping"})
    found = sandbox.control("/overview")
    audience = found["audiences"][0]
    assert (audience["statuses"]["subscribed"], audience["statuses"]["cleaned"]) == (1, 1)
    assert {tag["name"]: tag["members"] for tag in audience["tags"]} == {"VIP": 1, "New": 1}
    assert {one["email"]: one["name"] for one in audience["recent"]} == {ADA: "Ada", BOB: ""}
    assert found["batches"][0]["finished_operations"] == 1
    assert len(found["rates"]) == 60


def test_page(sandbox: Sandbox) -> None:
    """The page loads nothing from elsewhere, writes no HTML from data, and allows its own script only."""
    answer = requests.get(f"{sandbox.url}/", timeout=PATIENCE)
    script = re.search(r"<script>(.*)</script>", answer.text, re.DOTALL)
    assert script
    digest = b64encode(sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|(src|href)=", answer.text)


def test_rates() -> None:
    """Requests and members are counted for each of the last sixty seconds."""
    now = [1000.0]
    meter = Meter(clock=lambda: now[0])
    entry = Entry(at=0, method="GET", path="/", status=200, members=5, seconds=0, fault="")
    meter.note("GET /", entry)
    meter.note("GET /", entry)
    now[0] += 2
    meter.note("GET /", entry)
    assert meter.rates()[-3:] == [(2, 10), (0, 0), (1, 5)]
    now[0] += 100
    assert set(meter.rates()) == {(0, 0)}


def test_levels() -> None:
    """The histogram tells for how many seconds how many calls were in flight, also across a reset."""
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    for moment, level in ((1, 1), (3, 2), (6, 1)):
        now[0] = moment
        meter.level(level)
    now[0] = 10
    assert meter.to_json()["in_flight"] == {"now": 1, "max": 2, "seconds": {"0": 1, "1": 6, "2": 3}}
    assert meter.successor().to_json()["in_flight"]["max"] == 1


def test_account_keeps_its_audience() -> None:
    """An account begins with one audience, which every call finds under its documented id."""
    assert list(Account().audiences) == ["a1b2c3d4e5"]
