"""The account of one run."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.accounting.report import (
    Aggregates,
    Counts,
    Report,
    SegmentSummary,
    build_report,
    verdict_of,
)
from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.manifest import FieldWarning, Manifest, SegmentTally, Tallies

PINNED = {
    *("export", "run_id", "dag_id", "audience_id", "export_user", "started_at", "finished_at", "delivery"),
    *("dry_run", "verdict", "counts", "rejects_by_reason", "suppressed_by_reason", "segments", "batch_ids"),
    "versions",
}

MANIFEST = Manifest(
    export="export",
    run_id="manual__1",
    dag_id="dag",
    audience_id="a1b2c3d4e5",
    export_user="Ada Lovelace",
    started_at="2026-01-02T03:04:05+00:00",
    planned_at="2026-01-02T03:05:06+00:00",
    delivery=Delivery.BATCH,
    skip_merge_validation=False,
    max_reject_ratio=0.5,
    dry_run=False,
    keep_runs=30,
    ledger_version=2,
    segments=(SegmentTally("VIP", "Very important", 1500, unchanged=50), SegmentTally("Empty", "Empty", 0)),
    warnings=(FieldWarning("AGE", "not_a_number", 1200, ("people.csv line 7",), "Give a number."),),
    tallies=Tallies(
        rows_read=1550,
        merged=300,
        differing=17,
        unchanged=50,
        planned=1100,
        upsert_chunks=3,
        removal_chunks=1,
    ),
)
FINDINGS = Aggregates(
    effects={
        **{"created": 900, "updated": 100, "rejected": 60, "suppressed": 130, "unconfirmed": 10},
        **{"removed": 20, "removal_failed": 1, "renamed": 4},
    },
    rejects_by_reason={"fake_address": 60},
    suppressed_by_reason={"unsubscribed": 100, "compliance": 30},
    members={"VIP": 1000},
    joined={"VIP": 900},
    removed={"Very important": 20},
    rejects_known=12,
)


def report(**changes: Any) -> Report:
    """Draw up a report of a run that went rather well."""
    aggregates = dataclasses.replace(FINDINGS, **changes.pop("aggregates", {}))
    return build_report(dataclasses.replace(MANIFEST, **changes), aggregates, batch_ids=("b1", "b2"))


class TestCounts:
    """The sum that always holds."""

    @given(
        st.builds(
            dict,
            **{
                name: st.integers(0, 50)
                for name in (
                    "merged",
                    "rejected",
                    "suppressed",
                    "unchanged",
                    "created",
                    "updated",
                    "unconfirmed",
                    "not_sent",
                )
            },
        ),
        st.integers(-1, 1),
        st.integers(0, 9),
    )
    def test_adds_up(self, parts: dict[str, int], off: int, left: int) -> None:
        """Counts add up exactly when the rows read are the sum of their parts; who left does not count."""
        counts = Counts(rows_read=sum(parts.values()) + off, removed=left, removal_failed=left, **parts)
        assert counts.adds_up is (off == 0)

    def test_people(self) -> None:
        """Merged rows are nobody of their own, and whoever is confirmed is as the export wants them."""
        counts = Counts(rows_read=10, merged=2, rejected=1, suppressed=1, unchanged=1, created=2, updated=3)
        assert (counts.people, counts.confirmed) == (8, 6)


class TestVerdict:
    """How a run ended."""

    @pytest.mark.parametrize(
        ("counts", "verdict"),
        [
            (Counts(), Verdict.SUCCESS),
            (Counts(rows_read=3, created=1, updated=2), Verdict.SUCCESS),
            (Counts(rows_read=3, unchanged=3), Verdict.SUCCESS),
            (Counts(rows_read=3, merged=2, suppressed=1), Verdict.SUCCESS),
            (Counts(rows_read=3, suppressed=3), Verdict.SUCCESS),
            (Counts(rows_read=2, created=1, rejected=1), Verdict.PARTIAL),
            (Counts(rows_read=3, created=1, unconfirmed=2), Verdict.PARTIAL),
            (Counts(rows_read=1, updated=1, removal_failed=1), Verdict.PARTIAL),
            (Counts(rows_read=3, created=1, rejected=2), Verdict.FAILED),
            (Counts(rows_read=12, merged=9, created=1, rejected=2), Verdict.FAILED),
            (Counts(rows_read=1, rejected=1), Verdict.FAILED),
            (Counts(rows_read=2, unconfirmed=2), Verdict.FAILED),
            (Counts(rows_read=101, unchanged=100, unconfirmed=1), Verdict.PARTIAL),
            (Counts(rows_read=100, unchanged=50, unconfirmed=50), Verdict.PARTIAL),
            (Counts(rows_read=100, unchanged=49, unconfirmed=51), Verdict.FAILED),
            (Counts(rows_read=3, unconfirmed=2, suppressed=1), Verdict.FAILED),
            (Counts(rows_read=3, created=2), Verdict.FAILED),
            (Counts(rows_read=2, created=3), Verdict.FAILED),
        ],
    )
    def test_rules(self, counts: Counts, verdict: Verdict) -> None:
        """Refused, unanswered or unaccounted rows lower the verdict; suppressed and merged ones do not."""
        assert verdict_of(counts, max_reject_ratio=0.5) is verdict

    def test_an_error_is_a_failure(self) -> None:
        """A run that something stopped has failed, however good its counts are."""
        assert verdict_of(Counts(rows_read=1, created=1), max_reject_ratio=1.0, error=True) is Verdict.FAILED

    @pytest.mark.parametrize(
        ("ratio", "verdict"), [(0.0, Verdict.FAILED), (0.25, Verdict.PARTIAL), (1.0, Verdict.PARTIAL)]
    )
    def test_the_ratio_is_of_people(self, ratio: float, verdict: Verdict) -> None:
        """One reject in four people is allowed from a ratio of a quarter on, whatever the number of rows."""
        assert (
            verdict_of(Counts(rows_read=100, merged=96, created=3, rejected=1), max_reject_ratio=ratio)
            is verdict
        )


class TestReport:
    """``report.json``, and the table in the log."""

    def test_it_tells_the_run(self) -> None:
        """A report says who exported what, where to, how, and what it came to."""
        drawn = report()
        assert dataclasses.replace(drawn, finished_at="", versions={}) == Report(
            export="export",
            run_id="manual__1",
            dag_id="dag",
            audience_id="a1b2c3d4e5",
            export_user="Ada Lovelace",
            started_at="2026-01-02T03:04:05+00:00",
            finished_at="",
            delivery="batch",
            dry_run=False,
            verdict=Verdict.PARTIAL,
            counts=Counts(
                rows_read=1550,
                merged=300,
                rejected=60,
                suppressed=130,
                unchanged=50,
                created=900,
                updated=100,
                unconfirmed=10,
                removed=20,
                removal_failed=1,
            ),
            rejects_by_reason={"fake_address": 60},
            suppressed_by_reason={"unsubscribed": 100, "compliance": 30},
            segments={"VIP": SegmentSummary(1500, 1050, 900, 20), "Empty": SegmentSummary(0, 0, 0, 0)},
            batch_ids=("b1", "b2"),
            rejects_new=48,
            rejects_known=12,
            address_changes={"renamed": 4, "rename_refused": 0, "rename_unconfirmed": 0},
            differing=17,
            warnings=MANIFEST.warnings,
        )
        assert drawn.counts.adds_up

    def test_it_says_when_it_was_finished(self) -> None:
        """The end is a moment with its time zone, to the second, not before the start of the test."""
        before = datetime.now(UTC).replace(microsecond=0)
        assert before <= datetime.fromisoformat(report().finished_at) <= datetime.now(UTC)

    def test_it_names_the_versions(self) -> None:
        """The versions of the package, of Python, of Airflow and of what does the work are there."""
        versions = report().versions
        assert versions["airflow-mailchimp-export"] == __version__
        assert set(versions) == {
            *("airflow-mailchimp-export", "python", "apache-airflow-core", "duckdb", "pyarrow", "requests")
        }
        assert all(versions.values())

    def test_a_sum_that_is_off_is_a_failure(self) -> None:
        """A report whose rows do not add up says FAILED."""
        assert report(aggregates={"effects": {"created": 1}}).verdict is Verdict.FAILED

    def test_the_file_has_all_pinned_keys(self) -> None:
        """The file has every key of the public interface, with the counts and segments in theirs."""
        content = json.loads(report().to_json())
        assert set(content) >= PINNED
        assert set(content["counts"]) == {
            *(
                "rows_read",
                "merged",
                "rejected",
                "suppressed",
                "unchanged",
                "created",
                "updated",
                "unconfirmed",
                "not_sent",
            ),
            *("removed", "removal_failed"),
        }
        assert content["segments"]["VIP"] == {"rows": 1500, "members": 1050, "joined": 900, "left": 20}
        assert (content["verdict"], content["batch_ids"]) == ("partial", ["b1", "b2"])

    @pytest.mark.parametrize("error", [None, ConfigError("It stopped", "Start it"), SourceError("Away")])
    def test_the_file_can_be_read_back(self, error: ExportError | None) -> None:
        """What is read from the file is the report that was written."""
        drawn = build_report(MANIFEST, FINDINGS, batch_ids=(), error=error)
        assert Report.from_json(drawn.to_json()) == drawn

    def test_what_stopped_it_comes_with_what_to_do(self) -> None:
        """An error without a remedy of its own has the one of its kind, and nothing sent is said."""
        stopped = ConfigError("It is off", "Switch it on", nothing_sent=True)
        drawn = build_report(MANIFEST, FINDINGS, batch_ids=(), error=stopped)
        assert (drawn.error, drawn.remedy, drawn.nothing_sent) == ("It is off", "Switch it on", True)
        away = build_report(MANIFEST, FINDINGS, batch_ids=(), error=SourceError("It is away"))
        assert (away.error, away.remedy) == ("It is away", SourceError.usual_remedy)
        assert not away.nothing_sent
