"""A client that answers by script: for answers that the sandbox never gives, and for single stages."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from airflow_mailchimp_export.errors import FieldProblem, NotFound, PermanentError, RetryableError
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call, Request

Answer = Callable[[Request], Any]


class FakeClient:
    """Answers calls out of functions, one for each method and path; what they raise, it raises.

    :ivar requests: all requests in the order of their arrival.
    :ivar most_in_flight: how many were under way at the same time, at most.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        max_connections: int = 4,
        downloads: Mapping[str, Callable[[], bytes]] | None = None,
    ) -> None:
        self.answers = dict(answers or {})
        self.downloads = dict(downloads or {})
        self.max_connections = max_connections
        self.requests: list[Request] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()

    def send(self, call: Call[Any], *, permit: Callable[[], None] | None = None) -> Any:
        """Answer one call."""
        request = call.request
        if permit:
            permit()
        with self._lock:
            self.requests.append(request)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return call.read(self.answers[f"{request.method} {request.path}"](request))
        finally:
            with self._lock:
                self._in_flight -= 1

    @contextmanager
    def download(self, url: str) -> Iterator[IO[bytes]]:
        """Hand out an archive."""
        yield io.BytesIO(self.downloads[url]())

    def sent(self, method_and_path: str) -> list[Request]:
        """The requests of one kind."""
        return [request for request in self.requests if f"{request.method} {request.path}" == method_and_path]


@dataclass
class Consent:
    """Permits so many requests, and refuses all further ones."""

    error: Exception
    permits: int
    asked: int = 0

    def __call__(self) -> None:
        """Let pass, or stop."""
        self.asked += 1
        if self.asked > self.permits:
            raise self.error


def members_of(request: Request) -> list[dict[str, Any]]:
    """The members that a request carries."""
    carried: list[dict[str, Any]] = json.loads(request.body or b"")["members"]
    return carried


def accepted(request: Request) -> dict[str, Any]:
    """Answer that all members of a request were created."""
    return {"new_members": [_plain(carried) for carried in members_of(request)]}


def _plain(carried: Mapping[str, Any]) -> dict[str, Any]:
    return {"email_address": carried["email_address"], "status": carried["status"]}


def refusal(status: int = 400, *, words: str = "", field: str = "", message: str = "") -> PermanentError:
    """Make the error that stands for a refused request."""
    problems = [FieldProblem(field, message)] if field or message else []
    if status == 404:
        return NotFound("answered 404", words=words, problems=problems)
    return PermanentError(f"answered {status}", status=status, words=words, problems=problems)


def raising(error: BaseException) -> Answer:
    """Answer every request with an error."""

    def answer(request: Request) -> Any:
        raise error

    return answer


def in_turn(*steps: Any) -> Callable[..., Any]:
    """Answer the first time with the first step, and so on; the last one stays; what can be raised is raised."""
    left = list(steps)

    def answer(*_: object) -> Any:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, BaseException):
            raise step
        return step

    return answer


def out_of_reach() -> RetryableError:
    """Make the error of a call that was given up."""
    return RetryableError("POST request failed on the way: ConnectionError")


def gateway(
    client: Any,
    permit: Callable[[], None] = lambda: None,
    *,
    sleep: Callable[[float], None] = lambda seconds: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Gateway:
    """Make the way to a client; it does not wait unless told how."""
    return Gateway(client, permit, sleep=sleep, now=now)
