"""Serves an application on a port: in the foreground, or beside a test."""

from __future__ import annotations

import gc
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG = 2048
GRACE_SECONDS = 1
HANG_UP = "hang_up"
"""Where the server puts, into a request's state, the way to cut its connection."""
CLOSE = "close"
"""The same for ending it once everything that was sent so far has left."""
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


class CuttableProtocol(HttpToolsProtocol):
    """HTTP whose connections can be cut by the application: ASGI has no word for that."""

    def on_message_begin(self) -> None:
        """Give each request the ways to cut its own connection."""
        super().on_message_begin()
        self.scope["state"][HANG_UP] = self._hang_up
        self.scope["state"][CLOSE] = self.transport.close

    def _hang_up(self) -> None:
        transport: Any = self.transport
        if transport.is_closing():
            return
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        transport.abort()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one."""
    return socket.create_server((host, port), backlog=BACKLOG)


def url_of(listener: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def to_server(app: ASGIApp) -> uvicorn.Server:
    """A server of this application."""
    config = uvicorn.Config(
        app,
        http=CuttableProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def spare_the_collector() -> None:
    """Millions of members are no garbage: look through them seldom."""
    gc.set_threshold(100_000, 50, 1000)


def serve(server: uvicorn.Server, listener: socket.socket, ready: str) -> None:
    """Say that it is ready, and serve until SIGTERM or SIGINT."""

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # The server puts its own handlers in this place, and raises the signal again when it has stopped.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(ready, flush=True)
    server.run([listener])


@contextmanager
def in_thread(server: uvicorn.Server, listener: socket.socket) -> Iterator[None]:
    """The server in a thread of this process, for tests."""
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
