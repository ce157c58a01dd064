"""Segments of Customer Insights in exports.yaml, and the exports that read them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.config.models import Configuration

FILE = """
    snapshots: /snapshots
    segments:
      best:
        name: Best
        {segment}
      all:
        name: All
        uri: /data/all.parquet
    exports:
      insights_export:
        segments: {segments}
        email: msdynci_email
        schedule: {schedule}
        {more}
"""
OVER_API = "{conn_id: ci, segment: High_value}"


def write(folder: Path, segment: str, **parts: str) -> Path:
    """Write a configuration with one segment and one export."""
    keys = "\n        ".join(part.strip() for part in segment.strip("{}").split(","))
    usual = {"segments": "[best]", "schedule": "by_hand", "more": ""}
    file = folder / "exports.yaml"
    file.write_text(dedent(FILE.format(segment=keys, **{**usual, **parts})))
    return file


def configuration(folder: Path, segment: str = OVER_API, **parts: str) -> Configuration:
    """Read a configuration without mistakes."""
    loaded = load(write(folder, segment, **parts))
    assert loaded.configuration is not None
    assert [str(mistake) for mistake in loaded.mistakes] == []
    return loaded.configuration


def test_over_the_api(tmp_path: Path) -> None:
    """The operator gets the keys as they are, and the refresh builds no such segment."""
    read = configuration(
        tmp_path, "{conn_id: ci, segment: High_value, max_missing_profiles: 5, timezone: Europe/Berlin}"
    )
    assert read.source("best") == {
        "conn_id": "ci",
        "segment": "High_value",
        "max_missing_profiles": "5",
        "timezone": "Europe/Berlin",
    }
    assert read.query("best") == ""
    assert list(read.built) == ["all"]
    assert read.reads_insights(read.exports["insights_export"])


def test_in_files(tmp_path: Path) -> None:
    """With a URI it lies in the file export."""
    read = configuration(tmp_path, "{uri: s3://lake/BlobExport, segment: High_value, max_age: 26h}")
    assert read.source("best") == {"uri": "s3://lake/BlobExport", "segment": "High_value", "max_age": "26h"}


def test_waiting(tmp_path: Path) -> None:
    """The export says how old the refresh may be that it waits for."""
    assert (
        configuration(tmp_path, more="refreshed_within: 12").exports["insights_export"].refreshed_within == 12
    )


@pytest.mark.parametrize(
    ("segment", "parts", "words"),
    [
        ("{segment: High_value}", {}, "has no 'conn_id'"),
        ("{conn_id: ci, segment: High value}", {}, "output table name"),
        ("{conn_id: ci, segment: High_value, max_age: 26h}", {}, "unknown keys: 'max_age'"),
        ("{conn_id: ci, segment: High_value, delimiter: ;}", {}, "unknown keys: 'delimiter'"),
        ("{conn_id: ci, segment: High_value, where: a > 1}", {}, "has one rule"),
        ("{uri: /data/a.csv, max_age: 26h}", {}, "is for a segment of Customer Insights"),
        (OVER_API, {"schedule": "with_refresh"}, "builds no segment of Customer Insights"),
        (OVER_API, {"segments": "[best, all]"}, "export them apart"),
        (OVER_API, {"segments": "[all]", "more": "refreshed_within: 12"}, "no segment is of it"),
        (OVER_API, {"more": "refreshed_within: soon"}, "a number"),
    ],
)
def test_mistakes(segment: str, parts: dict[str, str], words: str, tmp_path: Path) -> None:
    """Each is told."""
    told = [str(mistake) for mistake in load(write(tmp_path, segment, **parts)).mistakes]
    assert any(words in mistake for mistake in told), told
