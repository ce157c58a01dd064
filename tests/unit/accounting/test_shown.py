"""The account of a run as it is read in the log of a task."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest

from airflow_mailchimp_export.accounting.report import Aggregates, Report, build_report
from airflow_mailchimp_export.accounting.shown import show, table
from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.state.manifest import Tallies
from tests.unit.accounting.test_report import FINDINGS, MANIFEST


def report(error: ExportError | None = None, aggregates: Aggregates = FINDINGS, **changes: Any) -> Report:
    """Draw up a report."""
    return build_report(
        dataclasses.replace(MANIFEST, **changes), aggregates, batch_ids=("b1", "b2"), error=error
    )


def test_the_table() -> None:
    """The table names verdict, counts, reasons, segments, warnings and the merged rows that differ."""
    assert table(report()).splitlines() == [
        "Export export to audience a1b2c3d4e5: PARTIAL",
        "  rows_read              1,550",
        "  merged                   300",
        "  rejected                  60",
        "  suppressed               130",
        "  unchanged                 50",
        "  created                  900",
        "  updated                  100",
        "  unconfirmed               10",
        "  not_sent                   0",
        "  removed                   20",
        "  removal_failed             1",
        "  rejected, by reason:",
        "    fake_address            60",
        "    48 new, 12 known from an earlier run",
        "  suppressed, by reason:",
        "    unsubscribed           100",
        "    compliance              30",
        "  segment 'VIP': 1,500 rows, 1,050 members, 900 joined, 20 left",
        "  segment 'Empty': 0 rows, 0 members, 0 joined, 0 left",
        "  warning: 1,200 x AGE: not_a_number. Give a number.",
        "  merged rows that differ from the first: 17",
    ]


def test_a_table_without_trouble_is_short() -> None:
    """Where nothing was refused and nothing differs, the table does not speak of it."""
    tallies = Tallies(1, planned=1, upsert_chunks=1)
    shown = table(report(None, Aggregates({"created": 1}), segments=(), warnings=(), tallies=tallies))
    assert len(shown.splitlines()) == 12
    assert "SUCCESS" in shown


def test_the_table_of_a_dry_run() -> None:
    """A dry run says first that nothing was changed, of each effect what would be, and for whom, masked."""
    aggregates = dataclasses.replace(
        FINDINGS,
        effects={"created": 900, "rejected": 60, "suppressed": 130, "removed": 20},
        examples={"created": ["a***@m***", "b***@m***"], "removed": ["z***@m***"]},
    )
    lines = table(report(None, aggregates, dry_run=True)).splitlines()
    assert lines[0] == "DRY RUN, nothing was changed: export export to audience a1b2c3d4e5 would be FAILED"
    assert lines[1:9] == [
        "  rows_read                    1,550",
        "  merged                         300",
        "  would be rejected               60",
        "  would be suppressed            130",
        "  would be unchanged              50",
        "  would be created               900",
        "  would be updated                 0",
        "  would be removed                20",
    ]
    assert "  segment 'VIP': 1,500 rows, 1,050 would be members, 900 would join, 20 would leave" in lines
    assert lines[-2:] == [
        "  would be created, e.g. a***@m***, b***@m***",
        "  would be removed, e.g. z***@m***",
    ]
    assert not {line.split()[0] for line in lines} & {"created", "updated", "removed", "unconfirmed"}


def test_the_table_names_the_error() -> None:
    """What stopped a run half-way is the last line."""
    assert table(report(ConfigError("No space left"))).splitlines()[-1] == "  error: No space left"


def test_there_is_no_table_where_nothing_was_sent() -> None:
    """Of a run that was stopped first there are no counts to read, only why profiles cannot be sent."""
    stopped = ConfigError("It is off", nothing_sent=True)
    assert table(report(stopped)).splitlines() == [
        "Export export to audience a1b2c3d4e5: FAILED, nothing was sent",
        "  rejected, by reason:",
        "    fake_address            60",
    ]


def test_the_table_holds_no_places() -> None:
    """Where the rows of a warning stand is only in the file."""
    assert "people.csv" not in table(report())
    assert b"people.csv line 7" in report().to_json()


def test_partial_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """What did not go well is one line of its own that cannot be overlooked; the table follows."""
    caplog.set_level(logging.INFO)
    show(report(), "/exports/export/run")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "Export export to audience a1b2c3d4e5: PARTIAL: 60 rejected (48 new, 12 known from an earlier run); "
            "10 unconfirmed, whom the next run sends again; 1 not removed, whom the next run tries again; "
            "rejects.csv has the reason and the remedy of each reject. Files: /exports/export/run",
        ),
        ("INFO", f"{table(report())}\n  files: /exports/export/run"),
    ]


def test_success_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Where all went well there is only the table."""
    caplog.set_level(logging.INFO)
    show(report(None, Aggregates({"created": 1}), tallies=Tallies(1)), "/exports")
    assert [record.levelname for record in caplog.records] == ["INFO"]
