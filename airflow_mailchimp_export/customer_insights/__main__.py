"""Shows what a connection to Customer Insights leads to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from airflow_mailchimp_export.customer_insights.client import DataverseClient
from airflow_mailchimp_export.customer_insights.listing import ListedSegment, list_segments
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.settings.insights import InsightsSettings, settings_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; 0 if that was possible."""
    wanted = to_parser().parse_args(arguments)
    try:
        with DataverseClient(_settings(wanted.connection)) as client:
            sys.stdout.writelines(f"{line}\n" for line in table_of(list_segments(client)))
    except ExportError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def to_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_mailchimp_export.customer_insights", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    segments = commands.add_parser(
        "segments", help="list the segments by the names that exports use, with sizes and last refresh"
    )
    segments.add_argument("connection", metavar="CONN", help="the id of an Airflow connection, such as ci")
    return parser


def table_of(segments: Iterable[ListedSegment]) -> Iterator[str]:
    """Write segments as a table."""
    heads = ("segment", "members", "Customer Insights counts", "refreshed", "friendly name")
    rows: list[tuple[str, ...]] = [heads, *map(_row, segments)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if len(rows) == 1:
        yield "No segment has a member that this connection can read."


def _row(segment: ListedSegment) -> tuple[str, ...]:
    counted = "-" if segment.counted is None else f"{segment.counted:,}"
    return (segment.name, f"{segment.members:,}", counted, _told(segment.written), segment.friendly_name)


def _told(moment: datetime | None) -> str:
    return moment.isoformat(sep=" ", timespec="minutes") if moment else "-"


def _settings(conn_id: str) -> InsightsSettings:
    from airflow.sdk import Connection

    return settings_of(Connection.get(conn_id))


if __name__ == "__main__":
    sys.exit(main())
