"""The segments that there are, with their sizes and when they were written last."""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from airflow_mailchimp_export.customer_insights.catalog import moment, read_catalog
from airflow_mailchimp_export.customer_insights.memberships import (
    MODIFIED,
    customer_of,
    membership_pages,
    segments_of,
)
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import MEMBERSHIP, read_table


@dataclass(frozen=True, slots=True)
class ListedSegment:
    """A segment.

    :param members: customers whose membership can be read.
    :param counted: how many Customer Insights itself counts; ``None`` where it does not tell.
    :param written: when it was refreshed, or else when a membership of it was written last.
    """

    name: str
    friendly_name: str
    members: int
    counted: int | None
    written: datetime | None


def list_segments(client: Reader) -> Iterator[ListedSegment]:
    """Read all memberships, and yield the segments by their names.

    Memory: 8 bytes for each membership, and as much again while the largest segment is counted.

    :raises SourceError: they cannot be read to the end.
    """
    members: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))
    written: dict[str, datetime] = {}
    table = read_table(client, MEMBERSHIP)
    for rows in membership_pages(client, table, (), columns=[MODIFIED]):
        for row in rows:
            customer, changed = customer_of(row), moment(row.get(MODIFIED))
            if customer is None:
                continue
            key = int.from_bytes(hashlib.blake2b(customer.encode(), digest_size=8).digest())
            for name in segments_of(row):
                members[name].append(key)
                if changed:
                    written[name] = max(changed, written.get(name, changed))
    known = read_catalog(client)
    for name in sorted({*members, *known}):
        told = known.get(name)
        yield ListedSegment(
            name,
            told.friendly_name if told else "",
            len(np.unique(np.frombuffer(members[name], np.uint64))) if name in members else 0,
            told.members if told else None,
            told.refreshed if told and told.refreshed else written.get(name),
        )
