"""Whether Customer Insights has refreshed since a moment: what its tables tell of it.

There is no documented sign that a refresh is over. What can be told is when rows were written last; memberships and
profiles are written by steps that run side by side, so that a refresh counts as over once neither was written for a
while.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from airflow_mailchimp_export.customer_insights.catalog import moment, read_catalog
from airflow_mailchimp_export.customer_insights.memberships import MODIFIED
from airflow_mailchimp_export.customer_insights.protocol import Refusal
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import MEMBERSHIP, PROFILE, Table, read_table
from airflow_mailchimp_export.errors import ConfigError

_NOT_SORTABLE: Final = frozenset({400, 501})


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What is known of the last refresh.

    :param written: when a membership or a profile was written last.
    :param oldest: when the segment of those that were asked for was refreshed that lies back furthest; ``None`` where
        Customer Insights does not tell.
    """

    written: datetime
    oldest: datetime | None = None

    def is_after(self, since: datetime, *, now: datetime, quiet: float) -> bool:
        """Whether a refresh came after a moment and is over.

        :param quiet: seconds for which nothing may have been written.
        """
        came = (self.oldest or self.written) > since
        return came and (now - self.written).total_seconds() >= quiet


def last_refresh(client: Reader, segments: Iterable[str]) -> Refreshed:
    """Look when the tables were written last.

    :raises ConfigError: they do not tell.
    """
    written = [_last_written(client, read_table(client, name)) for name in (MEMBERSHIP, PROFILE)]
    known = read_catalog(client)
    refreshed = [known[name].refreshed if name in known else None for name in segments]
    told = [each for each in refreshed if each]
    return Refreshed(max(written), min(told) if told and len(told) == len(refreshed) else None)


def _last_written(client: Reader, table: Table) -> datetime:
    if not table.has(MODIFIED):
        raise _silent(table)
    path, what = f"{table.entity_set}?$select={MODIFIED}", f"The last change of {table.entity_set}"
    try:
        pages = client.pages(f"{path}&$orderby={MODIFIED}%20desc&$top=1", what=what)
        moments = [moment(row.get(MODIFIED)) for row in next(pages)[:1]]
    except Refusal as refusal:
        if refusal.status not in _NOT_SORTABLE:
            raise
        moments = []
    if not any(moments):
        moments = [moment(row.get(MODIFIED)) for rows in client.pages(path, what=what) for row in rows]
    known = [each for each in moments if each]
    if not known:
        raise _silent(table)
    return max(known)


def _silent(table: Table) -> ConfigError:
    return ConfigError(
        f"Table {table.name} does not tell when its rows were written ({MODIFIED})",
        "Wait for the file export of Customer Insights instead, whose model.json tells it, or start the export by a "
        "schedule some hours after the refresh",
    )
