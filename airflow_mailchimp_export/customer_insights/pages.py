"""One page after the other of a table, each of them whole, until there is no further one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from airflow_mailchimp_export.errors import SourceError

NEXT: Final = "@odata.nextLink"

MAX_EMPTY_PAGES: Final = 1_000
"""Pages without a row in a row, after which no further one is asked for; a single one may well be empty."""

Row: TypeAlias = Mapping[str, Any]
Page: TypeAlias = tuple[list[Row], str | None]
"""The rows of a page, and the link to the next one."""


def read_page(payload: Any) -> Page:
    """Return rows and next link of a page.

    :raises TypeError: it is no page: one without rows has an empty list of them, and what leads on has OData 4.0's name
        for it, because a link that is overlooked makes the page the last.
    """
    rows, link = payload["value"], payload.get(NEXT)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError("no list of rows")
    if link is not None and not isinstance(link, str):
        raise TypeError("no link")
    if any(key != NEXT and key.lower().endswith("nextlink") for key in payload):
        raise TypeError("a link of another name")
    return rows, link


def follow(first: str, get: Callable[[str], Page], origins: frozenset[str]) -> Iterator[list[Row]]:
    """Yield the rows of each page, up to the one that has no link to another.

    Links are followed as they are, but only to the organisation, and never twice.

    :param get: asks for a page by its URL.
    :param origins: all that leads to the organisation.
    :raises SourceError: a link leads elsewhere, or in a circle.
    """
    seen: set[bytes] = set()
    empty, url = 0, first
    while True:
        key = hashlib.blake2b(url.encode(), digest_size=16).digest()
        if key in seen:
            raise SourceError("Dataverse's pages lead in a circle, so that none of them is the last", _AGAIN)
        seen.add(key)
        rows, link = get(url)
        yield rows
        if link is None:
            return
        empty = 0 if rows else empty + 1
        if empty > MAX_EMPTY_PAGES:
            raise SourceError(
                f"Dataverse gave {MAX_EMPTY_PAGES:,} empty pages in a row, and a further one", _AGAIN
            )
        check_link(link, origins)
        url = link


def check_link(link: str, origins: frozenset[str]) -> None:
    """Let the token go nowhere but to the organisation.

    :raises SourceError: a link leads elsewhere.
    """
    if not _leads_home(link, origins):
        raise SourceError(
            "Dataverse's link to a next page leads to another place than the organisation, so it is not followed",
            "Find out what answers in Dataverse's place, such as a proxy",
        )


def _leads_home(link: str, origins: frozenset[str]) -> bool:
    if not link.isprintable() or "\\" in link:
        return False
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    given = f"[{host}]" if ":" in host else host
    usual = port is None or port == {"https": 443, "http": 80}.get(parts.scheme)
    origin = f"{parts.scheme}://{given}" + ("" if usual else f":{port}")
    is_plain = "@" not in parts.netloc and ".." not in parts.path
    return is_plain and origin in origins and parts.path.startswith("/api/data/")


_AGAIN: Final = "Run the export again; if that happens each time, tell Microsoft's support"
