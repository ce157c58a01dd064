"""Notifiers that tests look at, and servers that real ones send to."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from airflow.sdk import BaseNotifier


class Remembering(BaseNotifier):
    """Remembers what it was told.

    :param message: a template.
    """

    template_fields = ("message",)
    told: ClassVar[list[str]] = []

    def __init__(self, message: str = "{{ mailchimp_alert.text }}") -> None:
        super().__init__()
        self.message = message

    def notify(self, context: Any) -> None:
        """Remember it."""
        self.told.append(self.message)


class Failing(BaseNotifier):
    """Cannot send anything."""

    def notify(self, context: Any) -> None:
        """Fail, with an address in the message."""
        raise ConnectionError("ada@brieftaube-post.eu is not reached")


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs that is polite."""

    def handle(self) -> None:
        """Take one session."""
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            command = line.partition(" ")[0].upper()
            if command == "DATA":
                self._say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.received.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self._say("221 bye" if command == "QUIT" else "250 ok")
            if command == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take a body of JSON."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def mailbox() -> Iterator[tuple[int, list[str]]]:
    """Serve SMTP on the loopback; lend the port, and the mails that come."""
    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox)) as served:
        yield served


@contextmanager
def webhook() -> Iterator[tuple[int, list[Any]]]:
    """Serve HTTP on the loopback; lend the port, and the bodies that come."""
    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), _Hook)) as served:
        yield served


@contextmanager
def _serving(server: Any) -> Iterator[tuple[int, list[Any]]]:
    server.received = []
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    with server:
        thread.start()
        yield server.server_address[1], server.received
        server.shutdown()
        thread.join()
