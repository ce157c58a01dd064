"""Batches that never end, that others stop, and that were never ours."""

from __future__ import annotations

import pytest
import requests

from airflow_mailchimp_export.sandbox.server import running
from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import Sandbox, download, person, ping, subscribe, unpack

SLOW = 60
"""Seconds: a stage that takes so long ends when the test says so."""


def test_endless(sandbox: Sandbox) -> None:
    """An endless batch is never seen twice in the same state, and ends as any other once it may."""
    sandbox.set(batch_endless=True)
    batch = sandbox.submit(subscribe(1, person("ada@people.example")))
    sandbox.wait_for_operations(batch["id"], 1)
    looks = [sandbox.get(f"/batches/{batch['id']}") for _ in range(3)]
    numbers = [(look["status"], look["finished_operations"], look["total_operations"]) for look in looks]
    first = numbers[0][1]
    assert numbers == [("started", first + n, first + n + 1) for n in range(3)]
    assert sandbox.member("ada@people.example")["status"] == "subscribed"
    sandbox.set(batch_endless=False)
    ended = sandbox.wait_for(batch["id"])
    assert (ended["finished_operations"], ended["total_operations"]) == (1, 1)
    assert len(unpack(download(ended).content)) == 1


def test_endless_batch_holds_up_the_next(sandbox: Sandbox) -> None:
    """While an endless batch runs the next one waits; once it is stopped the next one runs."""
    sandbox.set(batch_endless=True)
    first, second = sandbox.submit(ping()), sandbox.submit(ping())
    sandbox.wait_for_operations(first["id"], 1)
    assert sandbox.get(f"/batches/{second['id']}")["status"] == "pending"
    sandbox.call("DELETE", f"/batches/{first['id']}")
    sandbox.wait_for_operations(second["id"], 1)
    sandbox.set(batch_endless=False)
    sandbox.wait_for(second["id"])


@pytest.mark.parametrize("by", ["DELETE", "another user"])
@pytest.mark.parametrize("status", ["pending", "started", "finalizing", "finished"])
def test_stopped_but_shown(sandbox: Sandbox, by: str, status: str) -> None:
    """Set so, a batch that was stopped is still shown, under a status of its own and without results."""
    stage = {"started": "batch_operation_latency"}.get(status, f"batch_{status}")
    sandbox.set(batch_stopped_status="canceled", **({stage: SLOW} if status != "finished" else {}))
    batch_id = sandbox.submit(ping())["id"]
    url = sandbox.wait_for(batch_id, status)["response_body_url"]
    if by == "DELETE":
        assert sandbox.call("DELETE", f"/batches/{batch_id}").status_code == 204
    else:
        assert sandbox.control("/batches/stop", {"batches": [batch_id] * 2}) == {"batches": [batch_id]}
    shown = sandbox.get(f"/batches/{batch_id}")
    assert (shown["status"], shown["response_body_url"]) == ("canceled", "")
    assert [one["status"] for one in sandbox.get("/batches")["batches"]] == ["canceled"]
    assert status != "finished" or requests.get(url, timeout=PATIENCE).status_code == 404
    sandbox.set(**({stage: 0} if status != "finished" else {}))
    assert sandbox.run_batch(ping())["status"] == "finished"
    assert sandbox.get(f"/batches/{batch_id}")["status"] == "canceled"


def test_stopped_by_another_user(sandbox: Sandbox) -> None:
    """Another user stops all batches that have not finished, which are gone; finished ones stay."""
    finished = sandbox.run_batch(ping())
    sandbox.set(batch_operation_latency=SLOW)
    started, waiting = sandbox.submit(ping()), sandbox.submit(ping())
    sandbox.wait_for(started["id"], "started")
    assert sandbox.control("/batches/stop", {}) == {"batches": [started["id"], waiting["id"]]}
    for batch in (started, waiting):
        assert sandbox.problem("GET", f"/batches/{batch['id']}")["status"] == 404
        assert sandbox.problem("DELETE", f"/batches/{batch['id']}")["status"] == 404
    assert download(sandbox.get(f"/batches/{finished['id']}")).status_code == 200
    assert sandbox.control("/batches/stop", {}) == {"batches": []}


def test_stopping_what_is_not_there(sandbox: Sandbox) -> None:
    """Another user cannot stop a batch that does not exist, and stops no other then."""
    sandbox.set(batch_pending=SLOW)
    batch_id = sandbox.submit(ping())["id"]
    body = {"batches": [batch_id, "0123456789"]}
    answer = requests.post(f"{sandbox.url}/sandbox/batches/stop", json=body, timeout=PATIENCE)
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no such batch."})
    assert sandbox.get(f"/batches/{batch_id}")["status"] == "pending"
    sandbox.set(batch_pending=0)
    sandbox.wait_for(batch_id)


def test_batch_of_another_account(sandbox: Sandbox) -> None:
    """A batch of another account can neither be read nor stopped, and is not listed."""
    with running() as other:
        elsewhere = Sandbox(other.url, other.settings.key).submit(ping())["id"]
    for method in ("GET", "DELETE"):
        assert sandbox.problem(method, f"/batches/{elsewhere}")["title"] == "Resource Not Found"
    assert sandbox.get("/batches")["total_items"] == 0
