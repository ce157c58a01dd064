"""A request as it arrived, and an answer on its way out."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_mailchimp_export.sandbox.customer_insights.faults import Fault
from airflow_mailchimp_export.sandbox.customer_insights.queries import Request
from airflow_mailchimp_export.sandbox.customer_insights.replies import Reply
from airflow_mailchimp_export.sandbox.serving import CLOSE, HANG_UP

COMPRESS_FROM = 500
_ROOT = re.compile(r"(?P<root>/api/data/v9\.[0-2])(?:/(?P<path>.*))?")
_SKIP_TOKEN = re.compile(r"(?:\$|%24)skiptoken=[^&]*")
_PAGE_NUMBER = re.compile(r"pagenumber(?:=|%3D)(?:\"|%22)(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Incoming:
    """One request as it arrived.

    :param path: still quoted.
    :param close: ends the connection once everything that was sent so far has left.
    """

    scope: Scope
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    hang_up: Callable[[], None]
    close: Callable[[], None]
    started: float
    fault: Fault | None = None

    @property
    def target(self) -> str:
        """The path with the query."""
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def url(self) -> str:
        """What was called."""
        return f"http://{self.headers.get('host', '')}{self.target}"

    @property
    def token(self) -> str:
        """The access token that came along."""
        return self.headers.get("authorization", "").partition(" ")[2]

    @property
    def drawn_by(self) -> bytes:
        """What decides over its faults: the call, with the number of the page in the place of its cookie."""
        found = _PAGE_NUMBER.search(self.query)
        query = _SKIP_TOKEN.sub(f"page {found[1]}" if found else "", self.query)
        return f"{self.method} {self.path}?{query} ".encode()

    def to_request(self) -> Request:
        """The call of the Web API."""
        found = _ROOT.fullmatch(self.path)
        root = f"http://{self.headers.get('host', '')}{found['root'] if found else ''}"
        return Request(root, unquote(found["path"] or "") if found else self.path, self.query, self.headers)


async def to_incoming(scope: Scope, receive: Receive) -> Incoming:
    """Read a request."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return Incoming(
        scope=scope,
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=b"".join(parts),
        hang_up=scope["state"][HANG_UP],
        close=scope["state"][CLOSE],
        started=time.monotonic(),
    )


def encoded(incoming: Incoming, reply: Reply, *, compress: bool) -> Response:
    """The answer, packed for who accepts that."""
    headers = {**reply.headers, "Vary": "Accept-Encoding", "Content-Type": reply.content_type}
    wanted = compress and "gzip" in incoming.headers.get("accept-encoding", "")
    if not wanted or len(reply.body) < COMPRESS_FROM:
        return Response(reply.body, reply.status, headers)
    packed = gzip.compress(reply.body, compresslevel=1)
    return Response(packed, reply.status, {**headers, "Content-Encoding": "gzip"})


async def send_part(incoming: Incoming, response: Response, receive: Receive, send: Send) -> None:
    """Send the head and half of the body, and end the connection."""
    await send(
        {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    half = bytes(response.body)[: len(response.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    incoming.close()
    # The request has been read, so what comes is that the connection is gone.
    await receive()
