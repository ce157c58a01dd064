"""Serves a local Mailchimp on a port: in the foreground, or beside a test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from airflow_mailchimp_export.sandbox import serving
from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.app import to_app


def to_server(account: Account, listener: socket.socket) -> uvicorn.Server:
    """A server for this socket; the account learns its own URL."""
    account.url = serving.url_of(listener)
    return serving.to_server(to_app(account))


@contextmanager
def running(account: Account | None = None, *, host: str = "127.0.0.1") -> Iterator[Account]:
    """A sandbox in a thread of this process, for tests; ``account.url`` is where it is."""
    account = account or Account()
    with serving.bind(host, 0) as listener, serving.in_thread(to_server(account, listener), listener):
        yield account
