"""What is published is small, whatever there is to tell."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_mailchimp_export.accounting.report import Report, SampleReject, SegmentSummary
from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.published.building import Known, of_error, of_report
from airflow_mailchimp_export.published.fitting import MAX_BYTES, fitted, size
from airflow_mailchimp_export.published.schema import json_schema
from tests.unit.published.test_building import report

LONG = "Покупатели " * 9
SAMPLE = SampleReject((LONG,), f"{LONG}.csv:7", "EMAIL", "refused", LONG * 10)
WARNING = FieldWarning("TIER", "not_a_choice", 1, tuple(f"{LONG}:{row}" for row in range(5)), LONG * 100)
SCHEMA = Draft202012Validator(json_schema())


def large(*, segments: int = 0, samples: int = 0, warnings: int = 0, batches: int = 0) -> Report:
    """Draw up a report with so many of each."""
    return dataclasses.replace(
        report(),
        segments={f"{LONG[:95]} {number:04}": SegmentSummary(1, 2, 3, 4) for number in range(segments)},
        sample_rejects=(SAMPLE,) * samples,
        warnings=(WARNING,) * warnings,
        batch_ids=tuple(f"{number:010}" for number in range(batches)),
    )


def shrunk(given: Report, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return what is published of it, checked against the schema."""
    content = fitted(of_report(given, run_uri="/exports/export/run"), limit=limit)
    SCHEMA.validate(content)
    return content


def test_what_is_small_stays_whole() -> None:
    """Of an ordinary run nothing is left out."""
    content = shrunk(large(segments=20, samples=4, batches=10))
    assert content["truncated"] == {}
    assert [len(content[name]) for name in ("segments", "sample_rejects", "batch_ids")] == [20, 4, 10]


@pytest.mark.parametrize(
    "much",
    [
        {"segments": 500, "samples": 50},
        {"segments": 500, "samples": 50, "warnings": 300, "batches": 5000},
        {"warnings": 300},
        {"batches": 5000},
    ],
    ids=str,
)
def test_what_is_large_is_made_small(much: dict[str, int]) -> None:
    """500 segments with long Cyrillic names and 50 long samples fit, and what was left out is counted."""
    given = large(**much)
    content = shrunk(given)
    assert size(content) <= MAX_BYTES
    names = {"samples": "sample_rejects", "batches": "batch_ids"}
    for name, number in much.items():
        key = names.get(name, name)
        assert len(content[key]) + content["truncated"].get(key, 0) == number
    assert content == shrunk(given)


def test_samples_go_before_segments() -> None:
    """Which segments came to what is worth more than a further sample."""
    content = shrunk(large(segments=25, samples=50))
    assert "sample_rejects" in content["truncated"]
    assert "segments" not in content["truncated"]
    assert content["sample_rejects"]


def test_the_first_segments_stay() -> None:
    """They come in the order in which the export names them."""
    content = shrunk(large(segments=500))
    kept = [segment["name"][-4:] for segment in content["segments"]]
    assert kept == [f"{number:04}" for number in range(len(kept))]
    assert len(kept) >= 20


def test_a_long_text_is_cut() -> None:
    """A message ends with a mark where there was more of it."""
    error = ConfigError("ы" * 100_000, "x" * 100_000)
    content = fitted(of_error(error, Known(export="e" * 50_000, run_id="r", dag_id="d")))
    assert size(content) <= MAX_BYTES
    assert content["problem"]["message"].endswith("ы…")
    assert len(content["problem"]["message"]) == 1000


def test_several_share_the_room() -> None:
    """Where many runs are published together, each is short, and still has its counts."""
    content = shrunk(large(segments=500, samples=50), limit=4096)
    assert size(content) <= 4096
    assert content["counts"]["rows_read"] == 0
