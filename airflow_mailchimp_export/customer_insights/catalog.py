"""What Customer Insights itself keeps of its segments, where that can be had: size, and time of the last refresh.

Microsoft's own programs read the table ``mscipriv_segmentmetadata`` and document no column of it, so columns are
recognised by their names, and whatever is not found is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from airflow_mailchimp_export.customer_insights.pages import Row
from airflow_mailchimp_export.customer_insights.protocol import Refusal
from airflow_mailchimp_export.customer_insights.reader import Reader
from airflow_mailchimp_export.customer_insights.tables import Table, read_table
from airflow_mailchimp_export.errors import SourceError

CATALOG: Final = "mscipriv_segmentmetadata"

_FRIENDLY: Final = ("friendlyname", "displayname")
_INTERNAL: Final = ("internalname", "segmentname", "outputtablename", "tablename", "name")
_COUNTS: Final = ("membercount", "memberscount", "numberofmembers", "profilecount", "segmentsize", "size")
_REFRESHES: Final = (
    *("lastrefreshedon", "lastrefreshdate", "lastrefreshed", "refreshedon"),
    *("lastevaluatedon", "evaluationdate"),
)
"""How the names of columns end, the likeliest first."""


@dataclass(frozen=True, slots=True)
class KnownSegment:
    """A segment as Customer Insights keeps it.

    :param members: how many it counts; ``None`` where that is not told.
    :param refreshed: when it was refreshed last; ``None`` where that is not told.
    """

    name: str
    friendly_name: str = ""
    members: int | None = None
    refreshed: datetime | None = None


def read_catalog(client: Reader) -> Mapping[str, KnownSegment]:
    """Look up what is known of segments, by their output tables' names; nothing where that cannot be had."""
    try:
        table = read_table(client, CATALOG)
        pages = list(client.pages(table.entity_set, what=f"The reading of {CATALOG}"))
    except (Refusal, SourceError):
        return {}
    found = (_known(row, table) for rows in pages for row in rows)
    return {segment.name: segment for segment in found if segment}


def _known(row: Row, table: Table) -> KnownSegment | None:
    name = _value(row, table, _INTERNAL, but=_FRIENDLY)
    if not isinstance(name, str) or not name:
        return None
    members, friendly = _value(row, table, _COUNTS), _value(row, table, _FRIENDLY)
    return KnownSegment(
        name,
        friendly if isinstance(friendly, str) else "",
        members if isinstance(members, int) and not isinstance(members, bool) and members >= 0 else None,
        moment(_value(row, table, _REFRESHES)),
    )


def _value(row: Row, table: Table, endings: Iterable[str], *, but: tuple[str, ...] = ()) -> Any:
    """Return the value of the column whose name ends in the first of some words that there is."""
    names = [name for name in table.columns if name.startswith("mscipriv_") and not name.endswith(but or "-")]
    found = (name for ending in endings for name in names if name.endswith(ending))
    return next((row[name] for name in found if row.get(name) is not None), None)


def moment(value: object) -> datetime | None:
    """Return a moment that Dataverse wrote; ``None`` for nothing, and for what is none."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed.replace(tzinfo=parsed.tzinfo or UTC).astimezone(UTC)
