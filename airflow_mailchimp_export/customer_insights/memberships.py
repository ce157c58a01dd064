"""Who is in which segment: rows of memberships, whose JSON alone decides.

The filter of the server only narrows down what is read: it takes no account of upper and lower case, and an
underscore may stand for any character in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from airflow_mailchimp_export.customer_insights.pages import Row
from airflow_mailchimp_export.customer_insights.protocol import Refusal
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import CUSTOMER_ID, SEGMENTS, Table
from airflow_mailchimp_export.errors import SourceError

log = logging.getLogger(__name__)

TYPE: Final = "msdynci_segmentmembershiptype"
IDENTIFIER: Final = "msdynci_identifier"
MODIFIED: Final = "modifiedon"

_OF_OTHERS: Final = frozenset({"contact", "account"})
"""The types of memberships whose ids are not those of profiles; of any other, nobody is left out."""

_MOST_FILTERED: Final = 20
"""Segments in one filter: with more of them, nearly everybody is in one."""

_NOT_FILTERABLE: Final = frozenset({400, 501})


def membership_pages(
    client: Reader, table: Table, segments: Sequence[str], *, columns: Sequence[str] = ()
) -> Iterator[list[Row]]:
    """Read all rows that may be of members of some segments; those of all segments where none is named.

    A filter that finds nobody proves nothing: how Dataverse filters this column is not documented.

    :param columns: further ones, where there are such.
    :raises SourceError: they cannot be read to the end.
    """
    wanted = [CUSTOMER_ID, SEGMENTS, *table.has(TYPE, IDENTIFIER, *columns)]
    path = f"{table.entity_set}?$select={','.join(wanted)}"
    what = f"The reading of {table.entity_set}"
    if not 1 <= len(segments) <= _MOST_FILTERED:
        yield from client.pages(path, what=what)
        return
    is_anybody_found = False
    for rows in _filtered(client, f"{path}&$filter={filter_text(_narrowing(segments))}", what):
        is_anybody_found = is_anybody_found or bool(rows)
        yield rows
    if not is_anybody_found:
        log.info("%s is read whole: filtering it finds nobody, or is refused", table.entity_set)
        yield from client.pages(path, what=what)


def _filtered(client: Reader, path: str, what: str) -> Iterator[list[Row]]:
    """Read rows by a filter; none where Dataverse cannot filter them."""
    pages = client.pages(path, what=what)
    try:
        first = next(pages)
    except Refusal as refusal:
        if refusal.status not in _NOT_FILTERABLE:
            raise
        return
    yield first
    yield from pages


def filter_text(condition: str) -> str:
    """Return a condition as a query has it."""
    return quote(condition, safe="(),'")


def _narrowing(segments: Sequence[str]) -> str:
    """Ask for each row whose JSON has a name in it: without quotes, because how these are stored differs."""
    doubled = (name.replace("'", "''") for name in segments)
    return " or ".join(f"contains({SEGMENTS},'{name}')" for name in doubled)


def customer_of(row: Row) -> str | None:
    """Return whose membership a row is; ``None`` for that of a contact or an account.

    :raises SourceError: it says of nobody.
    """
    kind = row.get(TYPE) or _type_in(row.get(IDENTIFIER))
    if str(kind).strip().lower() in _OF_OTHERS:
        return None
    customer = row.get(CUSTOMER_ID)
    if not isinstance(customer, str) or not customer.strip():
        raise SourceError(
            "A row of memberships has no customer id, so that somebody cannot be told",
            "Wait until Customer Insights has refreshed, and run the export again",
        )
    return customer


def _type_in(identifier: object) -> str | None:
    """Return the type in an identifier, which is ``CustomerId|SegmentProvider|SegmentMembershipType|Name``."""
    parts = identifier.split("|") if isinstance(identifier, str) else []
    return parts[2] if len(parts) >= 4 and parts[2] else None


def segments_of(row: Row) -> Sequence[str]:
    """Return the segments that a row names.

    Its text is ``{"Segments": ["High_value", ...]}``; the bare list is taken too, and nothing is no segment.

    :raises SourceError: it cannot be told which they are.
    """
    if SEGMENTS not in row:
        raise _unreadable("lacks the segments")
    value = row[SEGMENTS]
    try:
        named = _names_in(
            (orjson.loads(value) if value.strip() else None) if isinstance(value, str) else value
        )
    except (orjson.JSONDecodeError, TypeError):
        raise _unreadable("has segments in another form than JSON of their names") from None
    return named


def _names_in(value: Any) -> Sequence[str]:
    if isinstance(value, Mapping):
        others = {key for key in value if key != "Segments"}
        if others and "Segments" not in value:
            raise TypeError("other keys")
        value = value.get("Segments")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("no list of names")
    return value


def _unreadable(problem: str) -> SourceError:
    return SourceError(
        f"A row of memberships {problem}, so that nobody knows who is in them",
        "Look at the table msdynci_segmentmembership of the environment, whose column msdynci_segments should hold "
        'JSON such as {"Segments": ["High_value"]}, and refresh Customer Insights',
    )
