"""Serves a sandbox on a port: in the foreground, or beside a test."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.app import to_app
from airflow_mailchimp_export.sandbox.exchange import HANG_UP

BACKLOG = 2048
GRACE_SECONDS = 1
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


class CuttableProtocol(HttpToolsProtocol):
    """HTTP whose connections can be cut by the application: ASGI has no word for that."""

    def on_message_begin(self) -> None:
        """Give each request the way to cut its own connection."""
        super().on_message_begin()
        self.scope["state"][HANG_UP] = self._hang_up

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


def to_server(account: Account, listener: socket.socket) -> uvicorn.Server:
    """A server for this socket; the account learns its own URL."""
    host, port = listener.getsockname()[:2]
    account.url = f"http://{host}:{port}"
    config = uvicorn.Config(
        to_app(account),
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


@contextmanager
def running(account: Account | None = None, *, host: str = "127.0.0.1") -> Iterator[Account]:
    """A sandbox in a thread of this process, for tests; ``account.url`` is where it is."""
    account = account or Account()
    with bind(host, 0) as listener:
        server = to_server(account, listener)
        thread = threading.Thread(target=server.run, args=([listener],), name="sandbox")
        thread.start()
        try:
            yield account
        finally:
            server.should_exit = True
            thread.join()
