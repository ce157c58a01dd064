"""The account of one run: every row that was read, under exactly one name."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.accounting.problems import kind_of
from airflow_mailchimp_export.counts import Counts, FieldWarning
from airflow_mailchimp_export.errors import Allowance, ExportError
from airflow_mailchimp_export.model import Effect, Verdict
from airflow_mailchimp_export.state.manifest import AudienceNote, Manifest, SegmentTally
from airflow_mailchimp_export.state.run import REPORT_FORMAT

RENAME_UNCONFIRMED = "rename_unconfirmed"
"""Beside the effects, among the numbers of changed addresses."""


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """What a segment came to.

    :param rows: rows at the source.
    :param members: people of the segment who are in the audience, with its tag.
    :param joined: those of them who got the tag by this run.
    :param left: people who lost it by this run.
    """

    rows: int
    members: int
    joined: int
    left: int


@dataclass(frozen=True, slots=True)
class SampleReject:
    """One of a run's rejects: without the address, and without any that Mailchimp's words may quote.

    :param source: file and row.
    :param words: Mailchimp's own words, masked, where it was Mailchimp who refused.
    """

    segments: tuple[str, ...]
    source: str
    field: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    """The account of one run, as ``report.json`` holds it.

    :param rejects_new: how many of the rejects no earlier run had, as far as the ledger knows.
    :param rejects_known: how many it had for the same reason.
    :param address_changes: how many members were renamed, how many could not be, and of how many that is not known.
    :param untagged_instead: of those removed, who lost their tags in place of being archived.
    :param examples: of a dry run, masked addresses for each effect.
    :param differing: merged rows whose mapped values differ from those of the row that counts.
    :param error: what stopped the run; empty where nothing did.
    :param remedy: what to do about it.
    :param nothing_sent: whether it was stopped before anything was sent.
    :param problem: what kind of problem that is, as :class:`~.problems.ProblemKind` has it.
    :param allow: what would let it through, where a limit stopped it.
    :param connection_id: the Mailchimp connection.
    :param full: whether everybody was to be sent, whatever the ledger says.
    :param sample_rejects: a few of the rejects, of each reason some.
    :param withdraw: whether the run took back all that the export gave.
    :param read_as: whom Customer Insights took its connections for.
    :param look_up: how it was found out who may not be sent.
    """

    export: str
    run_id: str
    dag_id: str
    audience_id: str
    export_user: str
    started_at: str
    finished_at: str
    delivery: str
    dry_run: bool
    verdict: Verdict
    counts: Counts
    rejects_by_reason: dict[str, int]
    suppressed_by_reason: dict[str, int]
    segments: dict[str, SegmentSummary]
    batch_ids: tuple[str, ...]
    rejects_new: int = 0
    rejects_known: int = 0
    address_changes: dict[str, int] = field(default_factory=dict)
    untagged_instead: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    differing: int = 0
    warnings: tuple[FieldWarning, ...] = ()
    error: str = ""
    remedy: str = ""
    nothing_sent: bool = False
    problem: str = ""
    allow: Allowance | None = None
    connection_id: str = ""
    audience: AudienceNote = AudienceNote()
    full: bool = False
    sample_rejects: tuple[SampleReject, ...] = ()
    withdraw: bool = False
    read_as: tuple[str, ...] = ()
    look_up: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the report as ``report.json`` holds it."""
        return REPORT_FORMAT.encode(self)

    @classmethod
    def from_json(cls, content: bytes) -> Report:
        """Read a report.

        :raises UnreadableFile: when it is damaged, or was written by a newer release.
        """
        return REPORT_FORMAT.decode(
            content, cls, where="The report", remedy="The rows of the run are in outcomes.parquet beside it"
        )


@dataclass(frozen=True, slots=True)
class Aggregates:
    """What the accounts of a run say, before it is judged.

    :param members: by segment, who of those sent is in the audience.
    :param joined: by segment, who of them did not carry its tag before.
    :param removed: by tag, who lost it.
    :param untagged_instead: who lost all tags in place of being archived.
    :param unconfirmed_renames: of how many members it is not known whether they were renamed.
    :param rejects_known: whom the ledger has as rejected for the same reason.
    """

    effects: Mapping[str, int] = field(default_factory=dict)
    rejects_by_reason: dict[str, int] = field(default_factory=dict)
    suppressed_by_reason: dict[str, int] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)
    joined: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    untagged_instead: int = 0
    unconfirmed_renames: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    rejects_known: int = 0
    sample_rejects: tuple[SampleReject, ...] = ()


def build_report(
    manifest: Manifest,
    aggregates: Aggregates,
    *,
    batch_ids: tuple[str, ...],
    error: ExportError | None = None,
) -> Report:
    """Return the report of a run.

    :param error: what stopped it; ``None`` where nothing did.
    """
    counts = manifest.tallies.with_effects(aggregates.effects)
    return Report(
        export=manifest.export,
        run_id=manifest.run_id,
        dag_id=manifest.dag_id,
        audience_id=manifest.audience_id,
        export_user=manifest.export_user,
        started_at=manifest.started_at,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        delivery=manifest.delivery.value,
        dry_run=manifest.dry_run,
        verdict=verdict_of(counts, max_reject_ratio=manifest.max_reject_ratio, error=error is not None),
        counts=counts,
        rejects_by_reason=aggregates.rejects_by_reason,
        suppressed_by_reason=aggregates.suppressed_by_reason,
        segments={segment.name: _segment_summary(segment, aggregates) for segment in manifest.segments},
        batch_ids=batch_ids,
        rejects_new=counts.rejected - aggregates.rejects_known,
        rejects_known=aggregates.rejects_known,
        address_changes=_address_changes(aggregates),
        untagged_instead=aggregates.untagged_instead,
        examples=aggregates.examples,
        differing=manifest.tallies.differing,
        warnings=manifest.warnings,
        error=error.happened if error else "",
        remedy=error.remedy or error.usual_remedy if error else "",
        nothing_sent=error.nothing_sent if error else False,
        problem=kind_of(error).value if error else "",
        allow=getattr(error, "allow", None),
        connection_id=manifest.connection_id,
        audience=manifest.audience,
        full=manifest.full,
        sample_rejects=aggregates.sample_rejects,
        withdraw=manifest.withdraw,
        read_as=manifest.read_as,
        look_up=manifest.look_up,
        versions=_versions(),
    )


def _address_changes(aggregates: Aggregates) -> dict[str, int]:
    answered = (Effect.RENAMED, Effect.RENAME_REFUSED)
    return {
        **{effect.value: aggregates.effects.get(effect.value, 0) for effect in answered},
        RENAME_UNCONFIRMED: aggregates.unconfirmed_renames,
    }


def _segment_summary(segment: SegmentTally, aggregates: Aggregates) -> SegmentSummary:
    return SegmentSummary(
        rows=segment.rows,
        members=segment.unchanged + aggregates.members.get(segment.name, 0),
        joined=aggregates.joined.get(segment.name, 0),
        left=aggregates.removed.get(segment.tag, 0),
    )


def verdict_of(counts: Counts, *, max_reject_ratio: float, error: bool = False) -> Verdict:
    """Return how a run ended.

    It failed when something stopped it, when its counts do not add up, when too much was refused,
    or when nothing of what was sent got an answer, unless that were few beside those who are in place anyway.
    """
    most = max_reject_ratio * counts.people
    unanswered = counts.unconfirmed > 0 and counts.created + counts.updated == 0
    if error or not counts.adds_up or (unanswered and (counts.unchanged == 0 or counts.unconfirmed > most)):
        return Verdict.FAILED
    if counts.rejected > most:
        return Verdict.FAILED
    return (
        Verdict.PARTIAL if counts.rejected or counts.unconfirmed or counts.removal_failed else Verdict.SUCCESS
    )


def _versions() -> dict[str, str]:
    packages = ("apache-airflow-core", "duckdb", "pyarrow", "requests")
    return {
        "airflow-mailchimp-export": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }
