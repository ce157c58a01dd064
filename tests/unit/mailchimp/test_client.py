"""The blocking client: what is in flight, what a pause holds, what a broken connection becomes."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from requests import exceptions
from urllib3.exceptions import ReadTimeoutError

from airflow_mailchimp_export.errors import AccessDenied, PermanentError, RetryableError, Throttled, TimedOut
from airflow_mailchimp_export.mailchimp.archive import operation_results
from airflow_mailchimp_export.mailchimp.client import Credentials, MailchimpClient
from airflow_mailchimp_export.mailchimp.limiter import GROW_AFTER, AdaptiveLimiter
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import Response, basic_authorization
from airflow_mailchimp_export.web.transport_errors import to_retryable
from tests.kit.archives import to_archive, to_result
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
from tests.kit.waiting import PATIENCE, wait_until

CHIMPY = to_response({"health_status": "Everything's Chimpy!"})
MOMENT = 0.002
"""Seconds in which a request too many would come in; a slow machine only makes it easier to pass."""


def to_client(server: ScriptedServer, clock: FakeClock, **options: Any) -> MailchimpClient:
    """A client whose time is the clock's."""
    return MailchimpClient(server.url, KEY, clock=clock, sleep=clock.sleep, **options)


def together(most: int) -> Callable[[Received], Step]:
    """Make what answers requests only once so many are in flight, however long that takes."""
    all_here = threading.Barrier(most)

    def answer(received: Received) -> Step:
        all_here.wait(PATIENCE)
        time.sleep(MOMENT)
        return CHIMPY

    return answer


def ping_often(client: MailchimpClient, times: int, *, threads: int = 16) -> list[str]:
    """Ping from many threads at once."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda _: client.send(PING), range(times)))


@pytest.mark.parametrize("most", [1, 3, 8])
def test_the_ceiling(most: int) -> None:
    """However many threads send, as many requests as max_connections are in flight, and never more."""
    with (
        ScriptedServer(script=together(most)) as server,
        to_client(server, FakeClock(), max_connections=most) as client,
    ):
        assert client.max_connections == most
        assert ping_often(client, 20 * most) == ["Everything's Chimpy!"] * 20 * most
    assert server.most_in_flight == most
    assert len({request.peer for request in server.received}) <= most


def test_shrinking_and_growing() -> None:
    """Push-back halves what is in flight; it grows back by one after each row of good answers."""
    clock = FakeClock()
    with ScriptedServer(to_problem(429), CHIMPY) as server, to_client(server, clock) as client:
        client.send(PING)
        assert client.limiter.limit == 4
        limits = []
        for _ in range(5 * GROW_AFTER):
            limits.append(client.limiter.limit)
            client.send(PING)
    assert limits == sorted(limits)
    assert [limits.count(limit) for limit in (4, 5, 6, 7)] == [
        GROW_AFTER - 1,
        GROW_AFTER,
        GROW_AFTER,
        GROW_AFTER,
    ]
    assert client.limiter.limit == 8


def test_fewer_in_flight_after_a_push_back() -> None:
    """What is in flight after a push-back is what the narrowed limit allows."""
    with ScriptedServer(to_problem(429), CHIMPY) as server, to_client(server, FakeClock()) as client:
        client.send(PING)
    narrowed = client.limiter
    with ScriptedServer(script=together(4)) as server, to_client(server, FakeClock()) as client:
        client.limiter = narrowed
        ping_often(client, 16)
    assert server.most_in_flight == 4


@pytest.mark.parametrize(
    "answer",
    [to_page(500), to_page(502), Wire(end=End.RESET), to_page(200)],
    ids=["500", "502", "reset", "page"],
)
def test_other_failures_do_not_narrow(answer: Step) -> None:
    """What is no push-back leaves the limit alone."""
    with ScriptedServer(answer, CHIMPY) as server, to_client(server, FakeClock()) as client:
        client.send(PING)
        assert client.limiter.limit == 8


def test_refusals_do_not_widen() -> None:
    """A refusal is no good answer."""
    steps = [to_problem(429), CHIMPY, *[to_problem(404)] * GROW_AFTER, CHIMPY]
    with ScriptedServer(*steps) as server, to_client(server, FakeClock()) as client:
        client.send(PING)
        for _ in range(GROW_AFTER):
            with pytest.raises(PermanentError):
                client.send(PING)
        assert client.limiter.limit == 4


def test_an_overcrowded_account() -> None:
    """Where others use up the connections, fewer are in flight, and everything is answered in the end."""
    lock, inside, overcrowded = threading.Lock(), 0, threading.Event()
    limits = set()

    def crowded(received: Received) -> Step:
        nonlocal inside
        with lock:
            inside += 1
            too_many = inside > 3
            limits.add(client.limiter.limit)
        if too_many:
            overcrowded.set()
        assert overcrowded.wait(PATIENCE)
        with lock:
            inside -= 1
        return to_problem(429) if too_many else CHIMPY

    pace = Pace(attempts=1000, first_pause=0.005, longest_pause=0.01)
    with (
        ScriptedServer(script=crowded) as server,
        MailchimpClient(server.url, KEY, max_connections=8, pace=pace) as client,
    ):
        assert len(ping_often(client, 200)) == 200
    assert min(limits) <= 4


class Diary(AdaptiveLimiter):
    """A limiter that notes when slots are taken and given back."""

    def __init__(self, limit: int, clock: FakeClock, notes: list[str]) -> None:
        super().__init__(limit, clock=clock)
        self._notes = notes

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Note when a slot is taken and when it is given back."""
        with super().slot():
            self._notes.append("enter")
            yield
            self._notes.append("leave")


@pytest.mark.parametrize(
    ("answer", "course"),
    [
        (to_page(502), ["enter", "sent", "pause", "leave", "enter", "sent", "leave"]),
        (to_page(504), ["enter", "sent", "pause", "leave", "enter", "sent", "leave"]),
        (to_page(500), ["enter", "sent", "leave", "pause", "enter", "sent", "leave"]),
        (to_problem(429), ["enter", "sent", "leave", "pause", "enter", "sent", "leave"]),
        (Wire(end=End.RESET), ["enter", "sent", "leave", "pause", "enter", "sent", "leave"]),
    ],
    ids=["502", "504", "500", "429", "reset"],
)
def test_what_a_pause_holds(answer: Step, course: list[str]) -> None:
    """A timed-out call keeps its slot without a gap while it pauses, for Mailchimp may still work on it."""
    notes: list[str] = []
    clock = FakeClock()
    answers = iter([answer, CHIMPY])

    def noted(received: Received) -> Step:
        notes.append("sent")
        return next(answers)

    def sleep(seconds: float) -> None:
        notes.append("pause")
        clock.sleep(seconds)

    with (
        ScriptedServer(script=noted) as server,
        MailchimpClient(server.url, KEY, max_connections=1, clock=clock, sleep=sleep) as client,
    ):
        client.limiter = Diary(1, clock, notes)
        client.send(PING)
    assert notes == course


@pytest.mark.parametrize("answer", [to_page(502), to_problem(429), to_problem(404), to_page(500)])
def test_every_slot_is_given_back(answer: Step) -> None:
    """However a call ends, its slot is free for the next one."""
    with (
        ScriptedServer(answer) as server,
        to_client(server, FakeClock(), max_connections=1, pace=Pace(attempts=2)) as client,
    ):
        for _ in range(3):
            with pytest.raises((RetryableError, PermanentError)):
                client.send(PING)
        with client.limiter.slot():
            assert client.limiter.limit == 1


def test_closing() -> None:
    """A client that is closed sends nothing any more, and says why."""
    with ScriptedServer(CHIMPY) as server:
        with to_client(server, FakeClock()) as client:
            client.send(PING)
        with pytest.raises(RuntimeError, match="is closed"):
            client.send(PING)
    assert len(server.received) == 1


def test_closing_ends_a_pause() -> None:
    """A call that pauses in another thread ends with the client, however long its pause, and is not repeated."""
    with (
        ScriptedServer(to_page(500)) as server,
        ThreadPoolExecutor(1) as thread,
        MailchimpClient(server.url, KEY, pace=Pace(first_pause=600.0, longest_pause=600.0)) as client,
    ):
        call = thread.submit(client.send, PING)
        wait_until(lambda: server.received, "a request")
        client.close()
        with pytest.raises(RuntimeError, match="is closed"):
            call.result(PATIENCE)
    assert len(server.received) == 1


def all_below(kind: type[Exception]) -> Iterator[type[Exception]]:
    """A class and all that derive from it."""
    yield kind
    for below in kind.__subclasses__():
        yield from all_below(below)


REQUESTS_ERRORS = sorted(
    {kind for kind in all_below(requests.RequestException) if kind.__module__.startswith("requests.")},
    key=lambda kind: kind.__name__,
)
SECRET = f"https://results.invalid/x?Signature=secret&key={KEY}&email=ada@people.example"


def test_the_whole_tree() -> None:
    """The tree of requests' errors is all of its exceptions: none stands beside it."""
    public = {
        kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    own = {
        kind for kind in public if kind.__module__ == "requests.exceptions" and not issubclass(kind, Warning)
    }
    assert own <= set(REQUESTS_ERRORS)


def made(kind: type[requests.RequestException]) -> requests.RequestException:
    """One of requests' errors that quotes more than may be told; some of them take more than words."""
    try:
        return kind(SECRET)
    except TypeError:
        return kind(SECRET, SECRET, 0)


@pytest.mark.parametrize("kind", REQUESTS_ERRORS)
def test_each_of_requests_errors(kind: type[requests.RequestException]) -> None:
    """Each of requests' errors becomes one of ours that passes, and tells its kind and the host, and nothing else."""
    error = to_retryable(made(kind), "GET request", host="us1.api.invalid")
    assert str(error).startswith(f"GET request failed on the way: {kind.__name__}")
    assert "us1.api.invalid" in str(error)
    for secret in ("secret", KEY, "ada", "results.invalid"):
        assert secret not in str(error)
    assert type(error) is (TimedOut if issubclass(kind, requests.ReadTimeout) else RetryableError)


def test_an_answer_that_stops_half_way() -> None:
    """requests reports it as a connection error around urllib3's time-out; it is a timed-out call."""
    stopped = requests.ConnectionError(ReadTimeoutError(None, SECRET, "Read timed out."))  # type: ignore[arg-type]
    assert type(to_retryable(stopped, "GET request")) is TimedOut


def test_errors_without_a_cause() -> None:
    """The traceback of a broken call quotes neither what requests said nor the key."""
    with ScriptedServer(CHIMPY) as server:
        client = to_client(server, FakeClock(), pace=Pace(attempts=2))
    with client, pytest.raises(RetryableError) as caught:
        client.send(PING)
    told = "".join(traceback.format_exception(caught.value))
    assert "Max retries exceeded" not in told
    assert KEY not in told


ARCHIVE = to_archive([to_result("0", {"a": 1})])
PACKED = Response(200, {"content-type": "application/gzip"}, ARCHIVE)


def test_download() -> None:
    """The results of a batch are read from the link as it is, in whichever pieces they come."""
    target = "/x%2Fy-response.tar.gz?GoogleAccessId=a%40b&Expires=1&Signature=a%2Bb%3D"
    with (
        ScriptedServer(PACKED) as server,
        to_client(server, FakeClock()) as client,
        client.download(server.url + target) as stream,
    ):
        (result,) = operation_results(stream)
    assert (result.operation_id, result.answer) == ("0", {"a": 1})
    assert server.received[0].target == target


def test_no_key_at_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key nor an entry in .netrc goes to the download link, which lies with another company."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(CHIMPY, PACKED) as server, to_client(server, FakeClock()) as client:
        client.send(PING)
        with client.download(f"{server.url}/x") as stream:
            stream.read()
    _, downloaded = server.received
    assert "authorization" not in downloaded.headers
    assert KEY not in f"{downloaded.headers} {downloaded.target}"


def test_a_download_takes_no_slot() -> None:
    """The download is no call of the API, so it needs no slot."""
    with (
        ScriptedServer(PACKED) as server,
        to_client(server, FakeClock(), max_connections=1) as client,
        client.limiter.slot(),
        client.download(f"{server.url}/x") as stream,
    ):
        assert stream.read() == ARCHIVE


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_a_refused_link(status: int) -> None:
    """A link that is refused passes, for each answer about a batch carries a new one."""
    with (
        ScriptedServer(to_page(status)) as server,
        to_client(server, FakeClock()) as client,
        pytest.raises(RetryableError, match=f"^The results of a batch were answered {status}$"),
        client.download(f"{server.url}/x?Signature=y"),
    ):
        pytest.fail("there is nothing to read")
    assert len(server.received) == 1


LINK = "/x-response.tar.gz?Expires=1&Signature=secret"


def download_to_its_end(client: MailchimpClient, link: str) -> None:
    """Read all results behind a link."""
    with client.download(link) as stream:
        list(operation_results(stream))


LENGTH = f"HTTP/1.1 200 OK\r\ncontent-length: {len(ARCHIVE)}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "step",
    [
        Wire(),
        Wire(end=End.RESET),
        Wire(end=End.STALL),
        Wire(LENGTH),
        Wire(LENGTH + ARCHIVE[:40]),
        Wire(LENGTH + ARCHIVE[:40], End.RESET),
        Wire(LENGTH + ARCHIVE[:40], End.STALL),
        Wire(b"no HTTP\r\n\r\n"),
    ],
)
def test_a_broken_download(step: Wire) -> None:
    """A download that breaks or stops is ours to repeat, and nothing of its link is told."""
    with ScriptedServer(step) as server, to_client(server, FakeClock(), timeout=0.1) as client:
        with pytest.raises(RetryableError) as caught:
            download_to_its_end(client, server.url + LINK)
        wait_until(lambda: server.received, "a request")
    assert server.received[0].target == LINK
    assert LINK not in "".join(traceback.format_exception(caught.value))


def test_a_download_from_nowhere() -> None:
    """Where nobody answers, nothing of the link is told either."""
    with ScriptedServer(PACKED) as server:
        client = to_client(server, FakeClock())
    with client, pytest.raises(RetryableError, match=r"^The download of a batch's results failed") as caught:
        download_to_its_end(client, server.url + LINK)
    assert LINK not in "".join(traceback.format_exception(caught.value))


def test_an_error_while_reading_a_download() -> None:
    """An error of the reader's own stays what it is."""
    with (
        ScriptedServer(PACKED) as server,
        to_client(server, FakeClock()) as client,
        pytest.raises(LookupError),
        client.download(f"{server.url}/x"),
    ):
        raise LookupError


def test_interruption() -> None:
    """A sleep that is interrupted, as when a task is killed, ends the call and gives its slot back."""

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with (
        ScriptedServer(to_page(502)) as server,
        MailchimpClient(server.url, KEY, max_connections=1, sleep=interrupted) as client,
    ):
        with pytest.raises(KeyboardInterrupt):
            client.send(PING)
        with client.limiter.slot():
            assert len(server.received) == 1


def test_push_back_is_spread() -> None:
    """Threads that are refused together narrow the limit once, not once each."""
    barrier = threading.Barrier(8)
    answered: list[Received] = []

    def refuse_the_first(received: Received) -> Step:
        answered.append(received)
        if len(answered) <= 8:
            barrier.wait(PATIENCE)
            return to_problem(429)
        return CHIMPY

    clock = FakeClock()
    with (
        ScriptedServer(script=refuse_the_first) as server,
        MailchimpClient(server.url, KEY, clock=clock, sleep=lambda _: None) as client,
    ):
        ping_often(client, 8, threads=8)
        assert client.limiter.limit == 4


def test_giving_up_on_push_back() -> None:
    """Push-back without an end is raised as such."""
    with ScriptedServer(to_page(403)) as server, to_client(server, FakeClock()) as client:
        with pytest.raises(Throttled, match="GET /ping was answered 403 without a problem document"):
            client.send(PING)
        assert len(server.received) == Pace().attempts
        assert client.limiter.limit == 1


class TestRefusedKeys:
    """A key that Mailchimp refuses may have been replaced meanwhile."""

    NEW = f"{'f' * 32}-us0"

    def opens_for(self, token: str) -> Callable[[Received], Step]:
        """Make what answers requests with a key, and refuses those with any other."""
        opening = basic_authorization(token)
        return lambda received: CHIMPY if received.headers["authorization"] == opening else to_problem(401)

    def test_a_new_key_is_used_from_then_on(self) -> None:
        """The refused call is repeated with the key that is there now, and further calls begin with it."""
        with (
            ScriptedServer(script=self.opens_for(self.NEW)) as server,
            to_client(server, FakeClock(), renew=lambda: Credentials(server.url, self.NEW)) as client,
        ):
            assert client.send(PING) == "Everything's Chimpy!"
            assert client.send(PING) == "Everything's Chimpy!"
        used = [received.headers["authorization"] for received in server.received]
        assert used == [basic_authorization(KEY), *[basic_authorization(self.NEW)] * 2]

    def test_a_new_address_is_used_from_then_on(self) -> None:
        """A key of another data center comes with its address, and the call is repeated there."""
        with (
            ScriptedServer(to_problem(401)) as old,
            ScriptedServer(script=self.opens_for(self.NEW)) as new,
            to_client(old, FakeClock(), renew=lambda: Credentials(new.url, self.NEW)) as client,
        ):
            assert client.send(PING) == "Everything's Chimpy!"
        assert (len(old.received), len(new.received)) == (1, 1)

    @pytest.mark.parametrize("status", [401, 403])
    def test_the_same_key_stays_refused(self, status: int) -> None:
        """Where nothing was replaced the refusal stands after one request; only a 401 has it looked up at all."""
        read: list[Credentials] = []
        with ScriptedServer(to_problem(status)) as server:

            def renew() -> Credentials:
                read.append(Credentials(server.url, KEY))
                return read[-1]

            with to_client(server, FakeClock(), renew=renew) as client, pytest.raises(AccessDenied):
                client.send(PING)
        assert len(server.received) == 1
        assert len(read) == (1 if status == 401 else 0)

    def test_a_new_key_that_is_refused_too(self) -> None:
        """One call is repeated once: a new key that is no good either ends it with the refusal."""
        with (
            ScriptedServer(to_problem(401)) as server,
            to_client(server, FakeClock(), renew=lambda: Credentials(server.url, self.NEW)) as client,
        ):
            with pytest.raises(AccessDenied, match="401"):
                client.send(PING)
            assert len(server.received) == 2

    def test_many_threads_read_it_once(self) -> None:
        """Calls that are refused at the same time share one look at what there is now."""
        all_here = threading.Barrier(4)
        looks: list[str] = []

        def answer(received: Received) -> Step:
            if received.headers["authorization"] == basic_authorization(self.NEW):
                return CHIMPY
            all_here.wait(PATIENCE)
            return to_problem(401)

        with ScriptedServer(script=answer) as server:

            def renew() -> Credentials:
                looks.append(server.url)
                return Credentials(server.url, self.NEW)

            with to_client(server, FakeClock(), renew=renew, max_connections=4) as client:
                assert ping_often(client, 4, threads=4) == ["Everything's Chimpy!"] * 4
        assert len(looks) == 1
