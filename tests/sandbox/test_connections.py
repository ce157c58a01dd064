"""The limit of connections, the time that calls take, and callers who do not wait."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import orjson
import pytest
import requests

from tests.kit.waiting import PATIENCE, wait_until
from tests.sandbox.driver import LIST, Sandbox, person

ADA = "ada@people.example"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Enough threads to go past the limit."""
    with ThreadPoolExecutor(12) as pool:
        yield pool


def ping(sandbox: Sandbox) -> requests.Response:
    """A ping on a connection of its own."""
    return requests.get(f"{sandbox.url}/3.0/ping", auth=("x", sandbox.key), timeout=PATIENCE)


def wait_in_flight(sandbox: Sandbox, count: int) -> None:
    """Come back when so many calls are in flight."""
    wait_until(lambda: sandbox.control("/stats")["in_flight"]["now"] == count, f"{count} calls in flight")


SLOW = 3600
"""Seconds: a call that takes so long ends when the test says so."""


def release(sandbox: Sandbox) -> None:
    """Let all calls that are in flight end."""
    sandbox.set(latency=0)
    wait_in_flight(sandbox, 0)


def fill(sandbox: Sandbox, pool: ThreadPoolExecutor, count: int) -> list[Future[requests.Response]]:
    """So many calls that are in flight until they are released."""
    sandbox.set(latency=SLOW)
    calls = [pool.submit(ping, sandbox) for _ in range(count)]
    wait_in_flight(sandbox, count)
    return calls


def call_and_hang_up(
    sandbox: Sandbox, method: str, path: str, body: bytes = b"", *, length: int | None = None
) -> None:
    """Call, and hang up once the call is in flight.

    :param length: the length that is announced, where not the whole body is sent.
    """
    host, port = sandbox.url.removeprefix("http://").split(":")
    head = (
        f"{method} /3.0{path} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n"
        f"Authorization: Bearer {sandbox.key}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(head.encode() + body)
        wait_in_flight(sandbox, 1)


def test_eleventh_call(sandbox: Sandbox, pool: ThreadPoolExecutor) -> None:
    """Ten calls in flight are served, and the eleventh is told that they are too many."""
    calls = fill(sandbox, pool, 10)
    problem = sandbox.problem("GET", "/ping")
    assert problem["detail"] == "You have exceeded the limit of 10 simultaneous connections."
    assert (problem["status"], problem["title"]) == (429, "Too Many Requests")
    release(sandbox)
    assert [call.result().status_code for call in calls] == [200] * 10
    stats = sandbox.control("/stats")["in_flight"]
    assert stats["max"] == 10
    assert stats["seconds"]["10"] > 0


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("429-empty", 429, b""),
        ("429-html", 429, b"<HTML>"),
        ("403-empty", 403, b""),
        ("403-html", 403, b"<HTML>"),
    ],
)
def test_hard_throttle(
    sandbox: Sandbox, pool: ThreadPoolExecutor, kind: str, status: int, body: bytes
) -> None:
    """Past the limit, answers can come without JSON, as 429 or as 403."""
    sandbox.set(max_connections=1, over_limit=kind)
    fill(sandbox, pool, 1)
    answer = ping(sandbox)
    assert (answer.status_code, answer.content[:6]) == (status, body)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Retry-After" not in answer.headers
    release(sandbox)


@pytest.mark.parametrize("kind", ["429-json", "429-html"])
def test_retry_after(sandbox: Sandbox, pool: ThreadPoolExecutor, kind: str) -> None:
    """Set so, a 429 says when to come back."""
    sandbox.set(max_connections=1, over_limit=kind, retry_after=7)
    fill(sandbox, pool, 1)
    assert ping(sandbox).headers["Retry-After"] == "7"
    release(sandbox)


def test_flush(sandbox: Sandbox, pool: ThreadPoolExecutor) -> None:
    """Set so, a call past the limit cuts all the others."""
    sandbox.set(max_connections=2, over_limit_flush=True)
    calls = fill(sandbox, pool, 2)
    assert ping(sandbox).status_code == 429
    for call in calls:
        assert isinstance(call.exception(), requests.ConnectionError)
    release(sandbox)


def test_impatient_caller(sandbox: Sandbox) -> None:
    """A caller who hangs up leaves the call behind: it keeps its place, and its work is done."""
    sandbox.set(latency=SLOW, max_connections=1)
    call_and_hang_up(sandbox, "POST", LIST, orjson.dumps({"members": [person(ADA)]}))
    assert ping(sandbox).status_code == 429
    assert sandbox.control("/members")["members"] == []
    release(sandbox)
    assert sandbox.member(ADA)["status"] == "subscribed"


def test_flush_of_who_has_gone(sandbox: Sandbox) -> None:
    """Who has hung up already is not cut once more, and the call past the limit is still answered."""
    sandbox.set(latency=SLOW, max_connections=1, over_limit_flush=True)
    call_and_hang_up(sandbox, "GET", "/ping")
    assert [ping(sandbox).status_code for _ in range(2)] == [429, 429]
    release(sandbox)


def test_unfinished_call(sandbox: Sandbox) -> None:
    """A caller who hangs up before the end of the body has called for nothing."""
    call_and_hang_up(sandbox, "POST", LIST, b'{"members":', length=100)
    wait_in_flight(sandbox, 0)
    assert sandbox.control("/stats")["member_rows"]["received"] == 0


def test_time_per_member(sandbox: Sandbox) -> None:
    """Bulk calls take longer the more members they carry."""
    sandbox.set(latency_per_member=0.03)
    sandbox.subscribe(person(ADA), person("bob@people.example"), person("eve@people.example"))
    assert sandbox.control("/requests", last=1)["requests"][0]["seconds"] >= 0.09


def test_timeout(sandbox: Sandbox) -> None:
    """A call that takes too long is answered 502 with a page, and its work is done all the same."""
    sandbox.set(latency=SLOW, timeout=0.05)
    answer = sandbox.call("POST", LIST, {"members": [person(ADA)]})
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert sandbox.control("/stats")["in_flight"]["now"] == 1
    release(sandbox)
    assert sandbox.member(ADA)["status"] == "subscribed"


def test_timeout_of_large_calls(sandbox: Sandbox) -> None:
    """Where each member takes time, only calls with many members take too long; their work is done."""
    sandbox.set(latency_per_member=SLOW)
    assert sandbox.call("GET", "/ping").status_code == 200
    sandbox.set(timeout=0.05)
    people = [person(ADA), person("bob@people.example"), person("eve@people.example")]
    assert sandbox.call("POST", LIST, {"members": people}).status_code == 502
    assert sandbox.control("/members")["members"] == []
    sandbox.set(latency_per_member=0)
    wait_in_flight(sandbox, 0)
    assert len(sandbox.control("/members")["members"]) == 3


@pytest.mark.parametrize(
    ("accepted", "compress", "encoding"),
    [("gzip", True, "gzip"), ("identity", True, None), ("gzip", False, None)],
)
def test_compression(sandbox: Sandbox, accepted: str, compress: bool, encoding: str | None) -> None:
    """Answers are compressed for who accepts it, unless that is switched off."""
    sandbox.set(compress=compress)
    answer = sandbox.call("GET", "/", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.json()["role"] == "admin"


def test_headers(sandbox: Sandbox) -> None:
    """Answers carry the headers that were recorded from Mailchimp."""
    headers: Any = sandbox.call("GET", "/ping").headers
    assert (headers["Server"], headers["Vary"]) == ("openresty", "Accept-Encoding")
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert len(headers["X-Request-Id"]) == 36
