"""Requests for profiles: for those with some ids, or for all.

Whoever wants few asks for them by id, whoever wants many reads all: :func:`is_scan_cheaper` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Final, TypeVar

import pyarrow as pa

from airflow_mailchimp_export.customer_insights.columns import to_batch
from airflow_mailchimp_export.customer_insights.memberships import filter_text
from airflow_mailchimp_export.customer_insights.protocol import MAX_PAGE_ROWS, Refusal
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import CUSTOMER_ID, PROFILE, Column, Table
from airflow_mailchimp_export.errors import SourceError

T = TypeVar("T")

IDS_OF_A_REQUEST: Final = 40
"""Ids in one request, whose URL then has some 2.9 kB."""

FEW_MEMBERS: Final = 2_000
"""Members up to whom profiles are asked for by id where nobody knows how many profiles there are."""


def count_profiles(client: Reader) -> int | None:
    """Ask how many profiles there are; the count is of the last day, and ``None`` where it cannot be had."""
    try:
        return client.get(
            f"RetrieveTotalRecordCount(EntityNames=['{PROFILE}'])", _total, what="The number of profiles"
        )
    except (Refusal, SourceError):
        return None


def _total(payload: Any) -> int:
    counted = payload["EntityRecordCountCollection"]
    total = int(dict(zip(counted["Keys"], counted["Values"], strict=True))[PROFILE])
    if total < 0:
        raise ValueError("no count")
    return total


def is_scan_cheaper(members: int, profiles: int | None) -> bool:
    """Whether reading all profiles takes fewer requests than asking for those of so many members.

    :param profiles: how many there are; ``None`` where nobody knows.
    """
    if profiles is None:
        return members > FEW_MEMBERS
    return -(-members // IDS_OF_A_REQUEST) > max(1, -(-max(profiles, members) // MAX_PAGE_ROWS))


def all_profiles(client: Reader, table: Table, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """Read all profiles, page by page.

    :raises SourceError: they cannot be read to the end.
    """
    labels = any(column.has_labels for column in columns)
    for rows in client.pages(_path(table, columns), what=f"The reading of {table.entity_set}", labels=labels):
        yield to_batch(rows, table, columns)


def profiles_of(
    client: Reader, table: Table, columns: Sequence[Column], ids: Iterable[str]
) -> Iterator[pa.RecordBatch]:
    """Read the profiles with some ids, with several requests in flight; who has none is left out.

    :raises SourceError: they cannot be read to the end, or one is not of those that were asked for.
    """
    labels = any(column.has_labels for column in columns)

    def fetch(some: Sequence[str]) -> pa.RecordBatch:
        filtered = f"{_path(table, columns)}&$filter={filter_text(_with_ids(some))}"
        pages = client.pages(filtered, what=f"The reading of {table.entity_set} by id", labels=labels)
        rows = [row for page in pages for row in page]
        if not {row.get(CUSTOMER_ID) for row in rows} <= set(some):
            raise SourceError(
                "Dataverse answered with profiles that were not asked for",
                "Set profile_read of the segment to scan",
            )
        return to_batch(rows, table, columns)

    yield from _in_parallel(fetch, _chunks(ids), client.max_connections)


def _path(table: Table, columns: Sequence[Column]) -> str:
    names = dict.fromkeys([CUSTOMER_ID, *(column.wire for column in columns)])
    return f"{table.entity_set}?$select={','.join(names)}"


def _with_ids(ids: Sequence[str]) -> str:
    doubled = (one.replace("'", "''") for one in ids)
    return " or ".join(f"{CUSTOMER_ID} eq '{one}'" for one in doubled)


def _chunks(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    left = iter(ids)
    while some := list(islice(left, IDS_OF_A_REQUEST)):
        yield some


def _in_parallel(
    fetch: Callable[[Sequence[str]], T], chunks: Iterator[Sequence[str]], threads: int
) -> Iterator[T]:
    """Yield what is fetched, in order, with no more of it under way or waiting than twice as many as threads."""
    waiting: list[Future[T]] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="customer-insights") as pool:
        try:
            for some in chunks:
                waiting.append(pool.submit(fetch, some))
                if len(waiting) >= 2 * threads:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for left in waiting:
                left.cancel()
