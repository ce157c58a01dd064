"""docs/report.md and docs/delivery.md have every key, count, reason and number that the code has."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from importlib import import_module

from airflow_mailchimp_export.accounting.accounts import REJECT_COLUMNS
from airflow_mailchimp_export.accounting.problems import ProblemKind
from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.fields.targets import remedy_for
from airflow_mailchimp_export.fields.values import WarningKind
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.model import Verdict
from airflow_mailchimp_export.planning.guards import NO_ROWS_REMEDY, SEGMENT_WITHOUT_ROWS
from airflow_mailchimp_export.planning.tags import TAG_REMEDIES, TagWarning
from airflow_mailchimp_export.published import PublishedReport
from airflow_mailchimp_export.rules import REASON_RULES
from tests.docs.pages import Page, columns, names, page, pairs

NUMBERS = {
    "members in a request, at most": "model.MAX_CHUNK_MEMBERS",
    "people in a batch, at most": "delivery.batches.MAX_BATCH_PEOPLE",
    "bytes in a batch, at most": "delivery.batches.MAX_BATCH_BYTES",
    "times that a call is made, at most": "mailchimp.pace.Pace.attempts",
    "seconds of the first pause": "mailchimp.pace.Pace.first_pause",
    "seconds of the first pause after a time-out": "mailchimp.pace.Pace.timeout_pause",
    "seconds of the longest pause": "mailchimp.pace.Pace.longest_pause",
    "seconds after which a call is given up": "mailchimp.pace.Pace.deadline",
    "good answers before one more connection is used": "mailchimp.limiter.GROW_AFTER",
    "chunks without an answer in a row before direct delivery fails": "delivery.pool.MAX_CONSECUTIVE_FAILURES",
    "members refused one by one, none accepted between, before it fails": "delivery.upserts.MAX_CONSECUTIVE_REJECTIONS",
    "members in a call that is not divided when it times out, at most": "delivery.upserts.MAX_UNDIVIDED",
    "times that a batch's results are fetched": "delivery.results.DOWNLOADS",
    "seconds before the second fetch, doubled for each further one": "delivery.results.FIRST_PAUSE",
    "seconds between the first looks at a batch": "delivery.watch.FIRST_PAUSE",
    "seconds between two looks, at most": "delivery.watch.LONGEST_PAUSE",
    "seconds without progress after which waiting ends": "delivery.watch.DEFAULT_STALL_TIMEOUT",
    "seconds between two looks at who opted out, at least": "delivery.opt_outs.LOOK_AGAIN_AFTER",
    "seconds for which it is known who opted out, at most": "delivery.opt_outs.FRESH_FOR",
    "seconds by which clocks may differ": "delivery.opt_outs.CLOCK_MARGIN",
    "requests up to which who may not be sent is read as a whole each time": "planning.statuses.REQUESTS_TO_ASK",
    "seconds before the last look for which changes are asked for again": "planning.statuses.OVERLAP",
    "seconds after which all who may not be sent are read anyway": "planning.statuses.LONGEST_KEPT",
    "seconds for which a run that is at work holds the lock": "state.lock.LEASE",
    "seconds between two renewals of it": "state.lock.RENEW_EVERY",
    "seconds for which a run that waits keeps out who cannot ask Mailchimp": "state.lock.WAITING_LEASE",
}
"""Where the code has each number."""

COUNTS = [count.name for count in fields(Counts)]


def test_keys() -> None:
    """The table has the keys of report.json."""
    assert names(page("report").table("report.json", "key", "meaning")) == [
        one.name for one in fields(Report)
    ]


def test_published_keys() -> None:
    """The table has the keys of what is published, by the names that JSON has."""
    assert names(page("report").table("What Airflow gets", "key", "meaning")) == [
        field.alias or name for name, field in PublishedReport.model_fields.items()
    ]


def test_problems() -> None:
    """The table has every kind of problem."""
    assert names(page("report").table("Problems", "kind", "what it is")) == list(ProblemKind)


def test_counts() -> None:
    """The table has all counts."""
    assert names(page("report").table("Counts", "count", "meaning")) == COUNTS


def test_counts_of_the_readme() -> None:
    """The README explains every part of the sum."""
    shown = names(Page("README.md").table("What the report says", "count", "meaning"))
    assert shown == [name for name in COUNTS if name not in ("rows_read", "removed", "removal_failed")]


def test_reject_columns() -> None:
    """The table has the columns of rejects.csv."""
    assert tuple(names(page("report").table("rejects.csv", "column", "meaning"))) == REJECT_COLUMNS


def test_reasons() -> None:
    """The table has every reason, how it is counted, and its remedy."""
    shown = columns(page("report").table("Reasons", "reason", "counted as", "remedy"), 0, 1, 2)
    assert shown == [(reason.value, rule.effect.value, rule.remedy) for reason, rule in REASON_RULES.items()]


def test_warnings() -> None:
    """The table has every kind of warning, and its remedy."""
    shown = pairs(page("report").table("Warnings", "kind", "remedy"))
    assert shown == [(kind.value, remedy_for(kind, ("Gold", "Silver"))) for kind in WarningKind]


def test_warnings_of_tags() -> None:
    """The table has every kind of warning about a tag, and its remedy."""
    shown = pairs(page("report").table("Warnings", "kind of a tag", "remedy"))
    assert shown == [(kind.value, TAG_REMEDIES[kind]) for kind in TagWarning]


def test_warnings_of_segments() -> None:
    """The table has the one kind of warning about a segment, and its remedy."""
    shown = pairs(page("report").table("Warnings", "kind of a segment", "remedy"))
    assert shown == [(SEGMENT_WITHOUT_ROWS, NO_ROWS_REMEDY)]


def test_verdicts() -> None:
    """The table has every verdict, mildest first."""
    shown = pairs(page("delivery").table("Verdicts", "verdict", "when", "the task"))
    assert [verdict for verdict, _ in shown] == [verdict.value for verdict in Verdict]


def test_numbers() -> None:
    """Every number of the delivery is the code's."""
    table = page("delivery").table("What is sent again", "number", "value")
    shown = {row[0]: row[1].strip("`") for row in table}
    assert shown == {number: repr(found(path)) for number, path in NUMBERS.items()}


def found(path: str) -> object:
    """Return what the code has there, spans of time in seconds."""
    module, _, name = path.rpartition(".")
    if module.endswith(".Pace"):
        return getattr(Pace(), name)
    number = getattr(import_module(f"airflow_mailchimp_export.{module}"), name)
    return number.total_seconds() if isinstance(number, timedelta) else number
