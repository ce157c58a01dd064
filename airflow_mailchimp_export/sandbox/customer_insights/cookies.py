"""Links to next pages: opaque, signed, and good for the query that they were made for."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from urllib.parse import quote, unquote

import orjson

from airflow_mailchimp_export.sandbox.customer_insights.problems import bad_query

_HEAD, _TAIL = '<cookie pagenumber="', '" istracking="False" />'
_MALFORMED = "Malformed XML in the Paging Cookie"


@dataclass(frozen=True, slots=True)
class Cookie:
    """Where a page begins.

    :param query: the digest of the options that the first page was asked with.
    :param after: the position of the last row of the page before.
    :param issued: when the link was made.
    """

    query: str
    page: int
    after: int
    issued: float

    def write(self, secret: bytes) -> str:
        """The value of ``$skiptoken``, as it stands in a link."""
        body = orjson.dumps(asdict(self))
        token = urlsafe_b64encode(_sign(body, secret) + body).decode()
        inner = f'<cookie page="{self.page - 1}"><continuation token="{token}" /></cookie>'
        text = f'{_HEAD}{self.page}" pagingcookie="{quote(quote(inner, safe=""), safe="")}{_TAIL}'
        return quote(text, safe="=/")


def read_cookie(text: str, query: str, secret: bytes) -> Cookie:
    """The cookie of a call.

    :param text: the value of ``$skiptoken``, unquoted once.
    :param query: the digest of the other options of the call.
    :raises Refused: it was altered, or was made for another query.
    """
    try:
        inner = unquote(unquote(text.removeprefix(_HEAD).partition('pagingcookie="')[2].removesuffix(_TAIL)))
        raw = urlsafe_b64decode(inner.partition('token="')[2].partition('"')[0])
        signature, body = raw[:8], raw[8:]
        if not body or signature != _sign(body, secret):
            raise ValueError("altered")
        cookie = Cookie(**orjson.loads(body))
    except (ValueError, TypeError) as error:
        raise bad_query(_MALFORMED, "0x80041129") from error
    if cookie.query != query or unquote(cookie.write(secret)) != text:
        raise bad_query("The paging cookie does not belong to this query.", "0x80041129")
    return cookie


def digest_of(options: Mapping[str, str]) -> str:
    """What tells one query from others."""
    return blake2b(orjson.dumps(sorted(options.items())), digest_size=8).hexdigest()


def _sign(body: bytes, secret: bytes) -> bytes:
    return blake2b(body, key=secret, digest_size=8).digest()
