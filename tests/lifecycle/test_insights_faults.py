"""With every tenth answer throttled, cut or broken, all people are read, or it is said why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.customer_insights.client import DataverseClient, Pace
from airflow_mailchimp_export.errors import ExportError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import opened_sources
from tests.kit.insights import HASTY, Insights, truth

PASSING = [
    *("too-many-requests", "too-much-time", "too-many-at-once", "unavailable", "error", "gateway"),
    *("reset", "cut", "truncated", "html", "empty", "no-value"),
]
WICKED = [*PASSING, "unauthorized", "repeated-row", "loop", "foreign-link"]


def read(insights: Insights, pace: Pace, way: str) -> Counter[Any]:
    """Read a segment, without waiting for anything."""
    given = parse_segments({"VIP": {"conn_id": "ci", "segment": "VIP", "profile_read": way}})
    client = DataverseClient(insights.settings(), pace=pace, sleep=lambda seconds: None)
    wanted = ("msdynci_email", "msdynci_firstname")
    with opened_sources(given, wanted, insights=lambda conn_id: client) as (source,):
        table = pa.Table.from_batches(source.batches(), source.schema)
    return Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.mark.parametrize("way", ["scan", "by_id"])
@pytest.mark.parametrize("seed", range(6))
def test_everybody_is_read(insights: Insights, seed: int, way: str) -> None:
    """What passes is asked for again until it has passed."""
    insights.change(
        fault_rate=0.1, faults=PASSING, seed=seed, page_limit=40, retry_after="none", short_pages=0.1
    )
    assert read(insights, HASTY, way) == truth(insights, "VIP")
    assert insights.control("stats")["faults"]


@pytest.mark.parametrize("seed", range(12))
def test_everybody_or_an_error(insights: Insights, seed: int) -> None:
    """Where nothing is asked for twice, and answers lie, an export still has all people or none."""
    insights.change(fault_rate=0.1, faults=WICKED, seed=seed, page_limit=100, retry_after="none")
    hasty = Pace(attempts=1, deadline=0.0)
    found, error = outcome(lambda: read(insights, hasty, "scan"))
    assert found == truth(insights, "VIP") or str(error).startswith(("Segment 'VIP'", "No token"))


def outcome(attempt: Callable[[], Counter[Any]]) -> tuple[Counter[Any] | None, ExportError | None]:
    """Return what came of an attempt: people, or what it was stopped by."""
    try:
        return attempt(), None
    except ExportError as error:
        return None, error
