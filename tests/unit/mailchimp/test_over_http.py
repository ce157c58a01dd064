"""The client, put before whatever a network and those behind it answer over HTTP."""

from __future__ import annotations

import base64
import gzip
import socket
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.errors import (
    AccessDenied,
    NotFound,
    PermanentError,
    RetryableError,
    Throttled,
    TimedOut,
)
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.archive import operation_results
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import MAX_ANSWER_BYTES, Call, Request, Response
from tests.kit.clock import FakeClock
from tests.kit.http import (
    KEY,
    PING,
    End,
    Received,
    ScriptedServer,
    Step,
    Wire,
    to_page,
    to_problem,
    to_response,
)

T = TypeVar("T")

CHIMPY = to_response({"health_status": "Everything's Chimpy!"})
ADDRESS = "ada@people.example"
NO_CONTENT = Response(204, {}, b"")
ONCE = Pace(attempts=1)

HALF = Wire(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
UNMEASURED_HALF = Wire(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"health_status": "Ev')
HALF_CHUNK = Wire(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{"health_status"')
BAD_CHUNK = Wire(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
BAD_GZIP = Wire(
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
)
NO_HTTP = Wire(b"220 smtp.people.example ESMTP ready\r\n\r\n")
HUNG_UP = Wire()
RESET = Wire(end=End.RESET)
RESET_HALF_WAY = Wire(HALF.data, End.RESET)
SILENT = Wire(end=End.STALL)
TRICKLING_BODY = Wire(
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n{", End.TRICKLE
)
TRICKLING_WITHOUT_END = Wire(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{", End.TRICKLE)
TRICKLING_HEADERS = Wire(b"HTTP/1.1 200 OK\r\nx: ", End.TRICKLE)
SILENT_HALF_WAY = Wire(HALF.data, End.STALL)

BROKEN = {
    "half": HALF,
    "unmeasured half": UNMEASURED_HALF,
    "half a chunk": HALF_CHUNK,
    "bad chunk": BAD_CHUNK,
    "bad gzip": BAD_GZIP,
    "no HTTP": NO_HTTP,
    "hung up": HUNG_UP,
    "reset": RESET,
    "reset half-way": RESET_HALF_WAY,
}

PASSING: list[tuple[Step, type[RetryableError]]] = [
    (to_problem(429, "Too Many Requests"), Throttled),
    (to_problem(429, "TooManyRequests"), Throttled),
    (to_page(429), Throttled),
    (to_page(403), Throttled),
    (to_page(500), RetryableError),
    (to_page(502), TimedOut),
    (to_page(503), RetryableError),
    (to_page(504), TimedOut),
    (to_page(200), RetryableError),
    *((broken, RetryableError) for broken in BROKEN.values()),
]


def carry(*calls: Call[T], url: str, clock: FakeClock, **options: Any) -> T:
    """Carry calls one after the other; return what the last one gave."""
    with MailchimpClient(url, options.pop("token", KEY), clock=clock, sleep=clock.sleep, **options) as client:
        return [client.send(call) for call in calls][-1]


@pytest.mark.parametrize(("step", "kind"), PASSING)
def test_a_passing_failure(step: Step, kind: type[RetryableError]) -> None:
    """What passes is sent again, after a pause of its kind."""
    clock = FakeClock()
    with ScriptedServer(step, CHIMPY) as server:
        assert carry(PING, url=server.url, clock=clock) == "Everything's Chimpy!"
    assert [request.target for request in server.received] == ["/ping", "/ping"]
    (pause,) = clock.pauses
    longest = Pace().timeout_pause if kind is TimedOut else Pace().first_pause
    assert longest / 2 <= pause <= longest


@pytest.mark.parametrize(("step", "kind"), PASSING)
def test_giving_up(step: Step, kind: type[RetryableError]) -> None:
    """After the last attempt the failure is raised as what it is."""
    clock = FakeClock()
    with ScriptedServer(step) as server, pytest.raises(RetryableError) as caught:
        carry(PING, url=server.url, clock=clock, pace=Pace(attempts=3))
    assert type(caught.value) is kind
    assert (len(server.received), len(clock.pauses)) == (3, 2)
    assert clock.pauses[1] > clock.pauses[0] / 2


@pytest.mark.parametrize("step", [SILENT, SILENT_HALF_WAY], ids=["at once", "half-way"])
def test_no_answer_in_time(step: Wire) -> None:
    """A server that falls silent, be it in the middle of its answer, makes a timed-out call."""
    clock = FakeClock()
    # On a busy machine the good answer may come too late as well, and again.
    patient = Pace(attempts=1000, deadline=1e9)
    with ScriptedServer(step, CHIMPY) as server:
        assert carry(PING, url=server.url, clock=clock, timeout=0.2, pace=patient) == "Everything's Chimpy!"
    assert Pace().timeout_pause / 2 <= clock.pauses[0] <= Pace().timeout_pause
    with ScriptedServer(step) as server, pytest.raises(TimedOut, match=r"^GET request "):
        carry(PING, url=server.url, clock=clock, timeout=0.1, pace=ONCE)


@pytest.mark.parametrize(
    "step",
    [TRICKLING_BODY, TRICKLING_WITHOUT_END, TRICKLING_HEADERS],
    ids=["body", "body without a length", "headers"],
)
def test_an_answer_that_trickles_in(step: Wire) -> None:
    """A server that says a little all the time does not outlast the end of a call."""
    with ScriptedServer(step) as server, pytest.raises(TimedOut, match=r"in time by 127\.0\.0\.1$"):
        carry(PING, url=server.url, clock=FakeClock(), timeout=0.1, pace=ONCE)


def test_results_that_trickle_in() -> None:
    """Nor do the results of a batch come for ever."""
    step = Wire(
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff",
        End.TRICKLE,
    )
    with (
        ScriptedServer(step) as server,
        MailchimpClient(server.url, KEY, timeout=0.04) as client,
        pytest.raises(RetryableError, match="unreadable"),
        client.download(server.url) as stream,
    ):
        list(operation_results(stream))


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_bounds(packed: bool) -> None:
    """What is longer than any proper answer is not read to its end, and told as what it is."""
    body = b" " * (MAX_ANSWER_BYTES + 1)
    coding = {"content-encoding": "gzip"} if packed else {}
    step = Response(
        200, {"content-type": "application/json", **coding}, gzip.compress(body, 1) if packed else body
    )
    with ScriptedServer(step) as server, pytest.raises(PermanentError, match="more than 33,554,432 bytes"):
        carry(PING, url=server.url, clock=FakeClock())
    assert len(server.received) == 1


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name can be resolved, and none is asked for."""

    def unknown(host: str, *_: object) -> list[Any]:
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


def test_a_name_that_nobody_knows(no_names: None) -> None:
    """A failure to resolve the host names it, and what to check."""
    told = r"The worker cannot find us99\.api\.invalid: check the server prefix, the base URL, and the worker's DNS$"
    with pytest.raises(RetryableError, match=told):
        carry(PING, url="https://us99.api.invalid/3.0", clock=FakeClock(), pace=ONCE)


def test_a_server_without_encryption() -> None:
    """A failure to agree on encryption names the host, and what to check."""
    told = r"SSLError\. localhost showed no certificate that the worker trusts: check .* REQUESTS_CA_BUNDLE"
    with ScriptedServer(NO_HTTP) as server, pytest.raises(RetryableError, match=told):
        carry(
            PING,
            url=server.url.replace("http://127.0.0.1", "https://localhost"),
            clock=FakeClock(),
            pace=ONCE,
        )


LINKS = [
    "",
    "https://",
    "https://[::1",
    "https://" + "a" * 64 + ".invalid/x",
    "https://a..invalid/x",
    "https://.invalid/x",
    "https://*.invalid/x",
    "https://xn--a.invalid/x\u0000",
    "https://ada@people.example@/x",
    "https://127.0.0.1:99999/x",
    "https://127.0.0.1:-1/x",
    "https://127.0.0.1:x/x",
    "https://\u2488\u2488/x",
    "https://x.invalid\r\nHost: y/x",
    "http://127.0.0.1/x",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "data:application/gzip;base64,AAAA",
    "javascript:1",
    "//127.0.0.1/x",
    "../../x",
    "x" * 100_000,
    "https://" + "a." * 60_000,
    "https://127.0.0.1:1/ada@people.example",
]


@pytest.mark.parametrize("link", LINKS, ids=range(len(LINKS)))
def test_absurd_links(link: str, no_names: None) -> None:
    """No link to results leads to a file, or past encryption, and none to anything but a passing failure."""
    with (
        MailchimpClient("https://us1.api.invalid/3.0", KEY, timeout=1) as client,
        pytest.raises(RetryableError) as caught,
        client.download(link),
    ):
        pytest.fail("There is nothing to download")
    told = "".join(traceback.format_exception(caught.value))
    assert "people.example" not in str(caught.value)
    assert "passwd" not in told


NOBODY_LISTENS = (
    r"^GET request failed on the way: ConnectionError\. 127\.0\.0\.1 takes no connection: check the base URL, "
    r"and that a firewall lets the worker out to it$"
)


def test_nobody_listens() -> None:
    """A server that is not there is a passing failure, which names the host and what to check, and not the key."""
    with ScriptedServer(CHIMPY) as server:
        url = server.url
    clock = FakeClock()
    with pytest.raises(RetryableError, match=NOBODY_LISTENS):
        carry(PING, url=url, clock=clock, pace=Pace(attempts=2))
    assert len(clock.pauses) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, PermanentError),
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotFound),
        (422, PermanentError),
    ],
)
def test_refusals(status: int, kind: type[PermanentError | AccessDenied]) -> None:
    """A refusal is raised at once, with Mailchimp's words but without what they quote."""
    clock = FakeClock()
    refusal = to_problem(status, "No", f"{ADDRESS} with {KEY}")
    with ScriptedServer(refusal) as server, pytest.raises(kind) as caught:
        carry(PING, url=server.url, clock=clock)
    assert (type(caught.value), caught.value.status) == (kind, status)
    assert "No - <address> with <key>" in str(caught.value)
    assert (len(server.received), clock.pauses) == (1, [])


def test_a_stopped_account() -> None:
    """503 ComplianceRelated is not repeated, unlike any other 503."""
    stopped = to_problem(503, "ComplianceRelated", "This method has been disabled.")
    with (
        ScriptedServer(stopped) as server,
        pytest.raises(AccessDenied, match="stopped this account for review"),
    ):
        carry(PING, url=server.url, clock=FakeClock())
    assert len(server.received) == 1


def test_retry_after() -> None:
    """Retry-After is honoured."""
    clock = FakeClock()
    with ScriptedServer(to_problem(429), to_page(429, retry_after="17"), CHIMPY) as server:
        carry(PING, url=server.url, clock=clock)
    assert clock.pauses[1] == 17.0


def test_what_time_it_is() -> None:
    """Every answer says what time it is at Mailchimp, a refusal too; one that says nothing proper changes nothing."""
    dates = ["", "Thu, 26 Nov 2026 05:00:00 GMT", "Thu, 26 Nov 2026 05:00:01 GMT", "soon", "Thu, 99 Nov 2026"]
    steps = [Response(404 if date == dates[2] else 204, {"date": date}, b"") for date in dates]
    seen = []
    with ScriptedServer(*steps) as server, MailchimpClient(server.url, KEY, pace=ONCE) as client:
        for _ in steps:
            with suppress(NotFound):
                client.send(calls.cancel_batch("1"))
            seen.append(client.server_time)
    five = datetime(2026, 11, 26, 5, tzinfo=UTC)
    later = five.replace(second=1)
    assert seen == [None, five, later, later, later]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("broken", [False, True])
def test_redirects(status: int, broken: bool) -> None:
    """A redirect is a refusal: nothing goes where it leads, least of all the key, be it well-formed or no."""
    with ScriptedServer(CHIMPY) as elsewhere:
        location = "http://[" if broken else f"{elsewhere.url}/ping"
        with ScriptedServer(to_page(status, location=location)) as server, pytest.raises(PermanentError):
            carry(PING, url=server.url, clock=FakeClock())
    assert len(server.received) == 1
    assert elsewhere.received == []


def test_no_content() -> None:
    """A call that is answered with 204 has no result."""
    with ScriptedServer(NO_CONTENT) as server:
        assert carry(calls.cancel_batch("1"), url=server.url, clock=FakeClock()) is None
    assert (server.received[0].method, server.received[0].target) == ("DELETE", "/batches/1")


def test_what_is_sent() -> None:
    """Method, path, query and body arrive as the call has them, with the headers of the protocol."""
    query = (("fields", "a.b,c"), ("odd", "a b&c=d+e%2Fé"))
    call = Call(Request("POST", "/lists/a%2Fb", query, '{"name":"Zoë"}'.encode()), lambda answer: answer["x"])
    with ScriptedServer(to_response({"x": "ü"})) as server:
        assert carry(call, url=f"{server.url}/3.0/", clock=FakeClock()) == "ü"
    (request,) = server.received
    address = urlsplit(request.target)
    assert (request.method, address.path) == ("POST", "/3.0/lists/a%2Fb")
    assert parse_qs(address.query) == {"fields": ["a.b,c"], "odd": ["a b&c=d+e%2Fé"]}
    assert orjson.loads(request.body) == {"name": "Zoë"}
    assert request.headers["user-agent"] == f"airflow-mailchimp-export/{__version__}"
    assert request.headers["content-type"] == "application/json"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).endswith(
        f":{KEY}".encode()
    )


def test_oauth_metadata() -> None:
    """The metadata call carries its token as that call takes it, to the very base URL."""
    with ScriptedServer(to_response({"api_endpoint": "https://us3.api.mailchimp.com"})) as server:
        url = f"{server.url}/oauth2/metadata"
        found = carry(calls.oauth_home(), url=url, clock=FakeClock(), token="token", oauth=True)
    assert found.endpoint == "https://us3.api.mailchimp.com"
    assert server.received[0].target == "/oauth2/metadata"
    assert server.received[0].headers["authorization"] == "OAuth token"


def test_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry in .netrc for the host does not take the place of the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(CHIMPY) as server:
        carry(PING, url=server.url, clock=FakeClock())
    sent = server.received[0].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).endswith(f":{KEY}".encode())


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_proxies(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the environment names is used, and not for the hosts that it excepts."""
    with ScriptedServer(CHIMPY) as proxy, ScriptedServer(CHIMPY) as direct:
        monkeypatch.setenv("http_proxy", scheme + proxy.url.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        carry(PING, url="http://us0.api.mailchimp.invalid/3.0", clock=FakeClock())
        carry(PING, url=direct.url, clock=FakeClock())
    assert [request.target for request in proxy.received] == ["http://us0.api.mailchimp.invalid/3.0/ping"]
    assert [request.target for request in direct.received] == ["/ping"]


def test_a_connection_is_used_again() -> None:
    """Calls one after the other share a connection."""
    with ScriptedServer(CHIMPY) as server:
        carry(PING, PING, PING, url=server.url, clock=FakeClock())
    assert len(server.received) == 3
    assert len({request.peer for request in server.received}) == 1


def test_a_stale_connection() -> None:
    """A connection that the server closed in between costs at most a second attempt."""
    closing = Wire(b'HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{"health_status":"Ok"}')
    with ScriptedServer(closing, CHIMPY) as server:
        assert carry(PING, PING, url=server.url, clock=FakeClock()) == "Everything's Chimpy!"


def test_a_quoted_request() -> None:
    """A failure of a call that carries people names neither them nor the query."""

    def reset(received: Received) -> Step:
        assert ADDRESS.encode() in received.body
        return RESET

    call = Call(Request("POST", "/lists/a1b2c3d4e5", (("q", ADDRESS),), ADDRESS.encode()), str)
    with ScriptedServer(script=reset) as server, pytest.raises(RetryableError) as caught:
        carry(call, url=server.url, clock=FakeClock(), pace=ONCE)
    assert ADDRESS not in str(caught.value)
    assert "%40" not in str(caught.value)
