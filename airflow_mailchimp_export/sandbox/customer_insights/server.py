"""Serves a local Customer Insights - Data on a port: in the foreground, or beside a test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from airflow_mailchimp_export.sandbox import serving
from airflow_mailchimp_export.sandbox.customer_insights.app import to_app
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation


def to_server(organisation: Organisation, listener: socket.socket) -> uvicorn.Server:
    """A server for this socket; the organisation learns its own URL."""
    organisation.url = serving.url_of(listener)
    return serving.to_server(to_app(organisation))


@contextmanager
def running(organisation: Organisation | None = None, *, host: str = "127.0.0.1") -> Iterator[Organisation]:
    """A sandbox in a thread of this process, for tests; ``organisation.url`` is where it is."""
    organisation = organisation or Organisation()
    with (
        serving.bind(host, 0) as listener,
        serving.in_thread(to_server(organisation, listener), listener),
    ):
        yield organisation
