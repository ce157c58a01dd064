"""Mailchimp as an HTTP server on this machine that answers by script, also what no proper server says."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler
from typing import Any

import orjson

from airflow_mailchimp_export.mailchimp.protocol import Call, Request, Response
from tests.kit.waiting import PATIENCE

TRICKLE_EVERY = 0.02
KEY = "0123456789abcdef0123456789abcdef-us0"
PING = Call(Request("GET", "/ping"), lambda answer: str(answer["health_status"]))


def to_response(payload: Any, status: int = 200, **headers: str) -> Response:
    """An answer in JSON; ``retry_after="7"`` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status, {"content-type": "application/json; charset=utf-8", **named}, orjson.dumps(payload)
    )


def to_problem(status: int, title: str = "", detail: str = "", **more: Any) -> Response:
    """A problem document."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return to_response(document, status, content_type="application/problem+json; charset=utf-8")


def to_page(status: int, **headers: str) -> Response:
    """What a machine on the way answers: a page in HTML."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status, {"content-type": "text/html", **named}, b"<html><h1>Something is wrong</h1></html>"
    )


class End(Enum):
    """What becomes of the connection after the bytes of a :class:`Wire`."""

    CLOSE = auto()
    RESET = auto()
    STALL = auto()
    TRICKLE = auto()


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes that go out as they are, for answers that no proper server gives.

    ``STALL`` says no more, and ``TRICKLE`` goes on with blanks, one after the other, until the other end has enough.
    """

    data: bytes = b""
    end: End = End.CLOSE


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in; header names in lower case, and the ``peer`` tells connections apart."""

    method: str
    target: str
    peer: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


Step = Response | Wire


class ScriptedServer(socketserver.ThreadingTCPServer):
    """A threaded HTTP server on this machine; use it in ``with``.

    :param steps: what the requests are answered, one after the other; the last one goes for all that follow.
    :param script: in place of steps: makes the answer, in the thread of the request.
    :ivar received: the requests, oldest first.
    :ivar most_in_flight: the largest number of requests that were being answered at the same time.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *steps: Step, script: Callable[[Received], Step] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Received] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        self._steps = list(steps)
        self._script = script or self._next
        self._thread = threading.Thread(target=self.serve_forever, args=(0.005,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> ScriptedServer:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def answer(self, received: Received) -> Step:
        """Note a request and make its answer."""
        with self._lock:
            self.received.append(received)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return self._script(received)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _next(self, received: Received) -> Step:
        with self._lock:
            return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: ScriptedServer

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        step = self.server.answer(Received(self.command, self.path, self.client_address[1], headers, body))
        if isinstance(step, Response):
            self.wfile.write(_to_bytes(step))
        else:
            self._break_off(step)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def _break_off(self, step: Wire) -> None:
        self.close_connection = True
        self.wfile.write(step.data)
        if step.end is End.STALL:
            self.connection.recv(1)
        while step.end is End.TRICKLE:
            try:
                self.wfile.write(b" ")
                self.connection.settimeout(TRICKLE_EVERY)
                self.connection.recv(1)
            except TimeoutError:
                continue
            except OSError:
                return
        if step.end is End.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _to_bytes(response: Response) -> bytes:
    length = {} if response.status == 204 else {"content-length": str(len(response.body))}
    lines = [f"HTTP/1.1 {response.status} Scripted"]
    lines += [f"{name}: {value}" for name, value in {**response.headers, **length}.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body
