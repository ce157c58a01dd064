"""Sessions that take a key nowhere but where they are told to, and answers of bounded length."""

from __future__ import annotations

import requests

from airflow_mailchimp_export.web.bounded import TooMuch
from airflow_mailchimp_export.web.deadline import WatchedAdapter

_BLOCK = 64 * 1024


class Undirected(requests.Session):
    """A session that looks at no redirect."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Let no redirect be looked at: a broken one would end in an error that is not requests' own."""


def pooled_session(session: requests.Session, *, connections: int) -> requests.Session:
    """Give a session so many connections to each host, which end with the deadline that they are used under."""
    # Without this, a .netrc entry for the host would replace the key.
    session.auth = _without_credentials
    adapter = WatchedAdapter(pool_connections=1, pool_maxsize=connections, pool_block=True)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _without_credentials(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def content_of(answer: requests.Response, *, most: int) -> bytes:
    """Read an answer that is a stream, unpacked.

    :param most: bytes.
    :raises TooMuch: when it is longer.
    """
    content = bytearray()
    for block in answer.iter_content(_BLOCK):
        content += block
        if len(content) > most:
            raise TooMuch(f"more than {most:,} bytes")
    return bytes(content)
