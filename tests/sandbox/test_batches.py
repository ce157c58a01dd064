"""Batches: their life, their results, and everything that is known to go wrong with them."""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import Any

import orjson
import pytest
import requests

from tests.kit.waiting import PATIENCE
from tests.sandbox.driver import LIST, Sandbox, download, person, ping, subscribe, unpack

SLOW = 60
"""Seconds: a stage that takes so long ends when the test says so."""


def test_first_answer(sandbox: Sandbox) -> None:
    """The first answer knows nothing: pending, no operations, no link."""
    batch = sandbox.submit(ping(), ping())
    assert len(batch["id"]) == 10
    assert {name: batch[name] for name in batch if name not in ("id", "submitted_at", "_links")} == {
        "status": "pending",
        "total_operations": 0,
        "finished_operations": 0,
        "errored_operations": 0,
        "completed_at": "",
        "response_body_url": "",
    }
    assert [link["rel"] for link in batch["_links"]] == ["parent", "self", "delete"]


def test_life(sandbox: Sandbox) -> None:
    """A batch goes from pending over preprocessing, started and finalizing to finished."""
    stages = {
        "pending": "batch_pending",
        "preprocessing": "batch_preprocessing",
        "started": "batch_operation_latency",
        "finalizing": "batch_finalizing",
    }
    sandbox.set(**dict.fromkeys(stages.values(), SLOW))
    batch_id, totals = sandbox.submit(ping(), ping())["id"], []
    for status, setting in stages.items():
        totals.append(sandbox.wait_for(batch_id, status)["total_operations"])
        sandbox.set(**{setting: 0})
    batch = sandbox.wait_for(batch_id)
    assert totals == [0, 0, 2, 2]
    assert batch["completed_at"] >= batch["submitted_at"]


def test_operations_do_what_calls_do(sandbox: Sandbox) -> None:
    """An operation is carried out as the call would be, with the query in its path and with its params."""
    twice = [person("ada@people.example"), person("ada@people.example")]
    batch = sandbox.run_batch(
        subscribe(1, *twice, query="?skip_duplicate_check=true&fields=total_created,error_count"),
        {"method": "GET", "path": LIST[1:], "params": {"fields": "id"}, "operation_id": "2"},
        {"method": "PUT", "path": f"{LIST}/members/x", "operation_id": "3", "params": {"fields": "id"}},
        {"method": "POST", "path": LIST, "body": "{", "operation_id": "4"},
        {"method": "GET", "path": "/nothing"},
    )
    results = {one["operation_id"]: one for one in unpack(download(batch).content)}
    assert results["1"]["response"] == {"total_created": 1, "error_count": 0}
    assert (results["2"]["status_code"], results["2"]["response"]) == (200, {"id": LIST[7:]})
    assert results["3"]["status_code"] == results["4"]["status_code"] == 400
    assert results[None]["status_code"] == 404
    assert (batch["total_operations"], batch["finished_operations"], batch["errored_operations"]) == (5, 5, 3)


def test_refused_members_are_no_errored_operation(sandbox: Sandbox) -> None:
    """An operation all of whose members were refused does not count as errored."""
    batch = sandbox.run_batch(subscribe(1, person("nobody"), person("nothing")))
    assert batch["errored_operations"] == 0
    assert unpack(download(batch).content)[0]["response"]["error_count"] == 2


def test_empty_answers(sandbox: Sandbox) -> None:
    """An operation whose call answers 204 has an empty string for a response."""
    sandbox.put({"email": "ada@people.example", "status": "subscribed"})
    batch = sandbox.run_batch({"method": "DELETE", "path": f"{LIST}/members/ada@people.example"})
    with tarfile.open(fileobj=io.BytesIO(download(batch).content)) as archive:
        texts = [file.read() for entry in archive if (file := archive.extractfile(entry))]
    assert orjson.loads(texts[0]) == [{"status_code": 204, "operation_id": None, "response": ""}]


def test_archive_layout(sandbox: Sandbox) -> None:
    """An archive has an entry for its folder, several files, and an empty one, unless set otherwise."""
    sandbox.set(archive_operations_per_file=2)
    operations = [ping(number) for number in range(5)]
    with tarfile.open(fileobj=io.BytesIO(download(sandbox.run_batch(*operations)).content)) as archive:
        entries = archive.getmembers()
    assert (entries[0].name, entries[0].isdir()) == (".", True)
    assert [entry.size > 0 for entry in entries[1:]] == [True, True, True, False]
    assert all(entry.name.startswith("./") and entry.name.endswith(".json") for entry in entries[1:])
    sandbox.set(archive_empty_file=False)
    with tarfile.open(fileobj=io.BytesIO(download(sandbox.run_batch(ping())).content)) as archive:
        assert all(entry.size for entry in archive.getmembers()[1:])


def test_order(sandbox: Sandbox) -> None:
    """Operations do not run in their order."""
    batch = sandbox.run_batch(*(ping(number) for number in range(50)))
    order = [int(one["operation_id"]) for one in unpack(download(batch).content)]
    assert order != sorted(order)
    assert sorted(order) == list(range(50))


def test_get_without_count(sandbox: Sandbox) -> None:
    """A GET of a collection without count fetches all pages, each as an operation of its own."""
    sandbox.put(*({"email": f"p{n}@people.example", "status": "subscribed"} for n in range(1500)))
    path = f"{LIST}/members?fields=members.id"
    batch = sandbox.run_batch({"method": "GET", "path": path}, {"method": "GET", "path": f"{path}&count=7"})
    sizes = sorted(len(one["response"]["members"]) for one in unpack(download(batch).content))
    assert (batch["total_operations"], sizes) == (3, [7, 500, 1000])
    nowhere = {"method": "GET", "path": "/lists/0000000000/members"}
    assert sandbox.run_batch(nowhere)["errored_operations"] == 1


def test_one_at_a_time(sandbox: Sandbox) -> None:
    """While one batch runs, the others stay pending."""
    sandbox.set(batch_operation_latency=SLOW)
    first, second = sandbox.submit(ping()), sandbox.submit(ping())
    sandbox.wait_for(first["id"], "started")
    assert sandbox.get(f"/batches/{second['id']}")["status"] == "pending"
    sandbox.set(batch_operation_latency=0)
    sandbox.wait_for(second["id"])


def test_member_time(sandbox: Sandbox) -> None:
    """Operations take their time by how many members they carry."""
    sandbox.set(batch_operation_latency_per_member=SLOW)
    assert sandbox.run_batch(ping())["finished_operations"] == 1
    batch = sandbox.submit(subscribe(1, person("ada@people.example"), person("bob@people.example")))
    sandbox.wait_for(batch["id"], "started")
    assert sandbox.control("/members")["members"] == []
    sandbox.set(batch_operation_latency_per_member=0)
    assert sandbox.wait_for(batch["id"])["finished_operations"] == 1


def test_too_many(sandbox: Sandbox) -> None:
    """Past the limit of pending batches, another one is refused with 429."""
    sandbox.set(batch_limit=2, batch_pending=SLOW)
    batches = [sandbox.submit(ping()) for _ in range(2)]
    problem = sandbox.problem("POST", "/batches", {"operations": [ping()]})
    assert (problem["status"], "Please wait for some to complete" in problem["detail"]) == (429, True)
    sandbox.set(batch_pending=0)
    for batch in batches:
        sandbox.call("DELETE", f"/batches/{batch['id']}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "operations"),
        ({"operations": []}, "operations"),
        ({"operations": ["GET /"]}, "operations.item:0"),
        ({"operations": [ping(), {"method": "GET"}]}, "operations.item:1.path"),
        ({"operations": [{"method": "HEAD", "path": "/"}]}, "operations.item:0.method"),
        ({"operations": [{"method": "POST", "path": LIST, "body": {}}]}, "operations.item:0.body"),
    ],
)
def test_bad_batch(sandbox: Sandbox, body: dict[str, Any], field: str) -> None:
    """Each operation needs a method and a path, and its body has to be a string."""
    assert sandbox.problem("POST", "/batches", body)["errors"][0]["field"] == field


def test_listing(sandbox: Sandbox) -> None:
    """Batches are listed newest first, for seven days."""
    first, second = sandbox.run_batch(ping()), sandbox.run_batch(ping())
    assert [one["id"] for one in sandbox.get("/batches")["batches"]] == [second["id"], first["id"]]
    sandbox.set(clock_shift=7 * 86400 + 5)
    assert sandbox.get("/batches", fields="total_items") == {"total_items": 0}
    assert sandbox.problem("GET", f"/batches/{first['id']}")["status"] == 404
    assert download(second).status_code == 400


@pytest.mark.parametrize("status", ["pending", "preprocessing", "started", "finalizing"])
def test_stopping(sandbox: Sandbox, status: str) -> None:
    """A batch can be stopped at any time: what was done stays, what was not is left, and it is gone."""
    stage = {"started": "batch_operation_latency"}.get(status, f"batch_{status}")
    sandbox.set(**{stage: SLOW})
    batch = sandbox.submit(ping())
    sandbox.wait_for(batch["id"], status)
    assert sandbox.call("DELETE", f"/batches/{batch['id']}").status_code == 204
    assert sandbox.problem("GET", f"/batches/{batch['id']}")["status"] == 404
    sandbox.set(**{stage: 0})
    assert sandbox.run_batch(ping())["status"] == "finished"


def test_link_without_credentials(sandbox: Sandbox) -> None:
    """The link works without credentials, and refuses whoever sends some, unless set otherwise."""
    batch = sandbox.run_batch(ping())
    answer = download(batch)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/gzip")
    assert sandbox.session.get(batch["response_body_url"], timeout=PATIENCE).status_code == 400
    sandbox.set(archive_refuses_authorization=False)
    assert sandbox.session.get(batch["response_body_url"], timeout=PATIENCE).status_code == 200


def test_link_expires(sandbox: Sandbox) -> None:
    """The link dies after ten minutes, and the next look at the batch has a fresh one."""
    batch = sandbox.run_batch(ping())
    sandbox.set(clock_shift=601)
    answer = download(batch)
    assert (answer.status_code, b"ExpiredToken" in answer.content) == (400, True)
    assert download(sandbox.get(f"/batches/{batch['id']}")).status_code == 200


def test_link_cannot_be_forged(sandbox: Sandbox) -> None:
    """A link whose signature or moment was changed is refused."""
    url = sandbox.run_batch(ping())["response_body_url"]
    for forged in (url.replace("Expires=", "Expires=9"), url.partition("?")[0], url[:-9]):
        assert requests.get(forged, timeout=PATIENCE).status_code == 403


def test_link_of_deleted_batch(sandbox: Sandbox) -> None:
    """The results of a batch that was deleted are gone."""
    batch = sandbox.run_batch(ping())
    sandbox.call("DELETE", f"/batches/{batch['id']}")
    assert download(batch).status_code == 404


def test_stuck(sandbox: Sandbox) -> None:
    """Stuck batches stay in finalizing with all operations done, and do not hold up the next one."""
    sandbox.set(batch_stuck=-1)
    batches = [sandbox.submit(ping()), sandbox.submit(ping())]
    for batch in batches:
        stuck = sandbox.wait_for(batch["id"], "finalizing")
        assert (stuck["finished_operations"], stuck["response_body_url"]) == (1, "")
    sandbox.set(batch_stuck=0)
    for batch in batches:
        assert sandbox.wait_for(batch["id"])["response_body_url"]


def test_stopping_a_stuck_batch(sandbox: Sandbox) -> None:
    """A batch that is stuck can be stopped, and the next one runs."""
    sandbox.set(batch_stuck=-1)
    batch = sandbox.submit(ping())
    sandbox.wait_for(batch["id"], "finalizing")
    sandbox.call("DELETE", f"/batches/{batch['id']}")
    sandbox.set(batch_stuck=0.05)
    assert sandbox.run_batch(ping())["response_body_url"]


def test_tail(sandbox: Sandbox) -> None:
    """With a tail, finalizing takes longer, by an amount that is drawn."""
    sandbox.set(batch_latency_tail=1000)
    batch = sandbox.submit(ping())
    assert sandbox.wait_for(batch["id"], "finalizing")["finished_operations"] == 1
    sandbox.set(batch_latency_tail=0)
    sandbox.wait_for(batch["id"])


def test_without_link(sandbox: Sandbox) -> None:
    """A finished batch can lack its link, for some reads or for ever."""
    sandbox.set(batch_without_link=2)
    batch_id = sandbox.run_batch(ping())["id"]
    urls = [sandbox.get(f"/batches/{batch_id}")["response_body_url"] for _ in range(2)]
    assert [bool(url) for url in urls] == [False, True]
    sandbox.set(batch_without_link=-1)
    assert sandbox.get(f"/batches/{batch_id}")["response_body_url"] == ""


def test_gone(sandbox: Sandbox) -> None:
    """A finished batch can be gone before its time."""
    batch = sandbox.run_batch(ping())
    sandbox.set(batch_gone=True)
    assert sandbox.problem("GET", f"/batches/{batch['id']}")["status"] == 404


def test_failing_downloads(sandbox: Sandbox) -> None:
    """The first downloads can answer 400."""
    sandbox.set(batch_download_failures=2)
    batch = sandbox.run_batch(ping())
    assert [download(batch).status_code for _ in range(3)] == [400, 400, 200]


@pytest.mark.parametrize("fault", ["corrupt", "truncated"])
def test_spoilt_archive(sandbox: Sandbox, fault: str) -> None:
    """A corrupt or truncated archive cannot be read, and the next download is whole."""
    sandbox.set(archive_fault=fault, archive_fault_count=1)
    batch = sandbox.run_batch(*(ping(number) for number in range(200)))
    with pytest.raises((tarfile.TarError, zlib.error, OSError, EOFError, orjson.JSONDecodeError)):
        unpack(download(batch).content)
    assert len(unpack(download(batch).content)) == 200


def test_incomplete_archive(sandbox: Sandbox) -> None:
    """An incomplete archive reads well, but lacks a third of the operations."""
    sandbox.set(archive_fault="incomplete")
    batch = sandbox.run_batch(*(ping(number) for number in range(9)))
    assert len(unpack(download(batch).content)) == 6


def test_broken_operations(sandbox: Sandbox) -> None:
    """Operations can fail with 500, and are not carried out then."""
    sandbox.set(batch_operation_fault_rate=1)
    batch = sandbox.run_batch(subscribe(1, person("ada@people.example")))
    assert batch["errored_operations"] == 1
    assert unpack(download(batch).content)[0]["response"]["status"] == 500
    assert sandbox.control("/members")["members"] == []


def test_batches_take_no_connection(sandbox: Sandbox) -> None:
    """A batch that runs does not count against the limit of connections."""
    sandbox.set(max_connections=1, batch_operation_latency=SLOW)
    batch = sandbox.submit(ping())
    sandbox.wait_for(batch["id"], "started")
    assert sandbox.get("/ping")
    sandbox.set(batch_operation_latency=0)
    sandbox.wait_for(batch["id"])
