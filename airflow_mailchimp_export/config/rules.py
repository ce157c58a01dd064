"""What the rules of segments need of the profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_mailchimp_export.config.entries import Segment
from airflow_mailchimp_export.config.mistakes import Problem
from airflow_mailchimp_export.config.profiles import Profiles


def problems_of_rules(segments: Mapping[str, Segment], profiles: Profiles) -> Iterator[tuple[str, Problem]]:
    """Yield which segments have a rule that nothing can run, each with its key."""
    for key, segment in segments.items():
        if segment.where and not profiles.is_set:
            yield (
                key,
                Problem(("where",), "is a condition over profiles, and there are none: add the key profiles"),
            )
        elif segment.where and segment.conn_id and not profiles.in_database:
            yield (
                key,
                Problem(
                    ("conn_id",),
                    "has no use beside where, which is a condition over the profiles, and they are files: remove it, "
                    "or write the whole query of the database as sql",
                ),
            )
        elif segment.sql and not segment.conn_id and not profiles.is_set:
            yield (
                key,
                Problem(
                    ("sql",),
                    "is a query over profiles, and there are none: add the key profiles, or the conn_id of a database",
                ),
            )


def runs_in_database(segment: Segment, profiles: Profiles) -> bool:
    """Whether a segment's rule is run by the database that has the profiles."""
    return not (segment.uri or segment.segment) and bool(segment.conn_id or profiles.in_database)
