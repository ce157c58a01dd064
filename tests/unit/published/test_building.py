"""What is published of a run: all of its account, and nobody's address."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export import errors
from airflow_mailchimp_export.accounting.problems import ProblemKind, kind_of
from airflow_mailchimp_export.accounting.report import Aggregates, Report, SampleReject, build_report
from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import (
    Allowance,
    AllowedRemoval,
    ConfigError,
    ExportFailed,
    RemovalLimitExceeded,
)
from airflow_mailchimp_export.model import Reason
from airflow_mailchimp_export.published.building import MAX_TAGS, Known, of_error, of_report
from airflow_mailchimp_export.published.models import PublishedReport
from airflow_mailchimp_export.rules import REASON_RULES
from airflow_mailchimp_export.state.manifest import AudienceNote, SegmentTally
from tests.kit.exports import AUDIENCE_ID, MANIFEST

AUDIENCE = AudienceNote("Readers", 4711, "us21", "https://us21.admin.mailchimp.com/lists/members/?id=4711")
URI = "s3://lake@bucket/exports/export/run"
KNOWN = Known(export="export", run_id="manual__1", dag_id="dag", connection_id="mc", audience_id=AUDIENCE_ID)
ADDRESS = "ada.lovelace@inkwell.invalid"

PUBLISHED_ELSEWHERE = {
    "audience_id": "audience",
    "error": "problem",
    "remedy": "problem",
    "allow": "problem",
    "nothing_sent": "refused",
}
"""Where what report.json holds under one key is published under another."""


def report(error: errors.ExportError | None = None, **changes: Any) -> Report:
    """Draw up the report of a run."""
    manifest = dataclasses.replace(MANIFEST, connection_id="mc", audience=AUDIENCE, full=True)
    drawn_up = build_report(manifest, Aggregates(), batch_ids=("b1",), error=error)
    return dataclasses.replace(drawn_up, **changes)


def published(given: Report, failure: Exception | None = None) -> PublishedReport:
    """Return what is published of it."""
    return of_report(given, run_uri=URI, failure=failure)


def test_it_holds_what_the_report_holds() -> None:
    """Every key of report.json has its place, and so have connection, audience and folder."""
    told = published(report())
    names = {PUBLISHED_ELSEWHERE.get(one.name, one.name) for one in dataclasses.fields(Report)}
    assert names | {"schema_", "run_uri", "preview", "truncated"} == set(PublishedReport.model_fields)
    assert (told.connection_id, told.full, told.run_uri) == ("mc", True, URI)
    assert told.audience.model_dump() == {"id": AUDIENCE_ID, **dataclasses.asdict(AUDIENCE)}
    assert (told.verdict, told.refused, told.problem) == ("success", False, None)


def test_what_stopped_a_run() -> None:
    """The removal limit says which parameter and value would let the run through."""
    stopped = RemovalLimitExceeded(
        "Too many", "Allow it", nothing_sent=True, allow=Allowance("max_removal_ratio", 0.9)
    )
    read_again = Report.from_json(report(stopped).to_json())
    told = published(read_again)
    assert told.problem
    assert told.problem.model_dump() == {
        "kind": "removal_limit",
        "message": "Too many",
        "remedy": "Allow it",
        "allow": {"param": "max_removal_ratio", "value": 0.9, "removals": ()},
    }
    assert (told.verdict, told.refused) == ("failed", True)


def test_what_the_removal_limit_would_let_through() -> None:
    """In all, and of the tags that lose most; a report that was read again says the same."""
    tags = [AllowedRemoval(f"tag {number}", number, 100) for number in range(1, MAX_TAGS + 2)]
    in_all, named = AllowedRemoval("", 230, 900), AllowedRemoval("ann@example.com", 99, 100)
    allow = Allowance("max_removal_ratio", 0.9, (in_all, *tags, named))
    stopped = RemovalLimitExceeded("Too many", "Allow it", nothing_sent=True, allow=allow)
    told = published(Report.from_json(report(stopped).to_json()))
    assert told.problem
    assert told.problem.allow
    first, second, *others = told.problem.allow.removals
    assert (first.tag, first.removed, first.owned) == ("", 230, 900)
    assert (second.tag, second.removed) == ("<address>", 99)
    assert [one.removed for one in others] == [*range(MAX_TAGS + 1, 2, -1)]


def test_a_failed_verdict_alone() -> None:
    """Where nothing stopped the run, the problem is what its task fails with."""
    told = published(report(), ExportFailed("10 rejected of 10 people", "Read rejects.csv"))
    assert told.problem
    assert (told.problem.kind, told.problem.message) == ("outcome", "10 rejected of 10 people")


def test_a_task_that_ends_otherwise_than_its_run() -> None:
    """The run is what its account says; why the task failed all the same is said beside it."""
    told = of_report(report(), run_uri=URI, failure=SystemExit(), kind=ProblemKind.CANCELLED)
    assert told.problem
    assert (told.verdict, told.problem.kind) == ("success", "cancelled")


def test_a_report_of_another_release() -> None:
    """What release 0.1.0 wrote says what stopped it, but not what kind of problem that is."""
    old = json.loads(report(ConfigError("Wrong", "Mend it")).to_json())
    for key in ("problem", "allow", "connection_id", "audience", "full", "sample_rejects"):
        del old[key]
    told = published(Report.from_json(json.dumps(old).encode()))
    assert told.problem
    assert (told.problem.kind, told.problem.message, told.sample_rejects) == ("unexpected", "Wrong", ())


def test_before_there_is_an_account() -> None:
    """A run that was stopped early says why, and has no counts."""
    told = of_error(ConfigError("No audience", "Name one", nothing_sent=True), KNOWN)
    assert told.problem
    assert (told.problem.kind, told.refused, told.counts) == ("config", True, None)
    assert (told.export, told.audience.id, told.started_at) == ("export", AUDIENCE_ID, "")


def test_once_it_was_planned() -> None:
    """A run that was planned says where it went, too."""
    planned = dataclasses.replace(MANIFEST, audience=AUDIENCE)
    told = of_error(SystemExit(), KNOWN, kind=ProblemKind.CANCELLED, manifest=planned)
    assert told.problem
    assert (told.problem.kind, told.audience.name, told.delivery) == ("cancelled", "Readers", "batch")


def test_an_error_of_somebody_else_is_only_named() -> None:
    """Nobody knows what its words hold."""
    told = of_error(ValueError("Ada Lovelace is no number"), KNOWN).problem
    assert told
    assert (told.kind, told.message, told.remedy) == ("unexpected", "ValueError", "Read the log of the task")


@pytest.mark.parametrize(
    "error", [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
)
def test_every_error_has_a_kind(error: type[errors.ExportError]) -> None:
    """No error of ours is unexpected, but for the two that are never raised as such."""
    unnamed = error in (errors.ExportError, errors.MailchimpError)
    assert (kind_of(error.__new__(error)) is ProblemKind.UNEXPECTED) == unnamed


def test_a_sample_says_what_to_do() -> None:
    """A reject comes with the remedy of its reason, and names the first segments of a person."""
    segments = tuple(f"S{number}" for number in range(9))
    sample = SampleReject(segments, f"{ADDRESS}.csv:17", "EMAIL", "invalid_address", f"{ADDRESS} is wrong")
    (told,) = published(report(sample_rejects=(sample,))).sample_rejects
    assert told.segments == segments[:5]
    assert (told.source, told.mailchimp_says) == ("<address>:17", "<address> is wrong")
    assert told.remedy == REASON_RULES[Reason.INVALID_ADDRESS].remedy


def test_a_reason_of_another_release() -> None:
    """Nobody knows a remedy for it, and all the rest is told."""
    sample = SampleReject(("VIP",), "vip.csv:17", "", "moonless_night", "")
    (told,) = published(report(sample_rejects=(sample,))).sample_rejects
    assert (told.reason, told.remedy) == ("moonless_night", "")


def test_masked_examples_stay() -> None:
    """The examples of a dry run are masked already; what is not is masked."""
    told = published(report(examples={"created": ["a***@i***", "***@***", ADDRESS]}))
    assert told.examples == {"created": ("a***@i***", "***@***", "<address>")}


places = st.sampled_from(["{}", "s3://lake/{}.csv:7", "said {} is wrong", "({})", "'{}'", "x,{};y"])
planted = st.builds(str.format, places, st.just(ADDRESS))
texts = st.one_of(planted, st.text(max_size=20))


@given(data=st.data())
def test_no_address_is_published(data: st.DataObject) -> None:
    """Wherever an address stands, in names, files, words, errors or examples, it is not published."""
    draw = data.draw
    drawn_up = report(
        errors.SourceError(draw(texts), draw(texts)),
        export=draw(texts),
        run_id=draw(texts),
        export_user=draw(texts),
        audience=AudienceNote(draw(texts), 1, draw(texts), draw(texts)),
        examples={"created": [draw(texts)]},
        warnings=(FieldWarning(draw(texts), "not_a_number", 1, (draw(texts),), draw(texts)),),
        sample_rejects=(SampleReject((draw(texts),), draw(texts), draw(texts), "refused", draw(texts)),),
    )
    tallied = dataclasses.replace(MANIFEST, segments=(SegmentTally(draw(texts), "t", 1),))
    segments = build_report(tallied, Aggregates(), batch_ids=()).segments
    told = of_report(dataclasses.replace(drawn_up, segments=segments), run_uri=draw(texts))
    known = dataclasses.replace(KNOWN, export=draw(texts), run_uri=draw(texts))
    error = of_error(ConfigError(draw(texts), draw(texts)), known, manifest=tallied)
    for one in (told, error):
        assert not re.search("inkwell", one.model_dump_json(by_alias=True))
