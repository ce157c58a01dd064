"""The account of one run: every row that was read, under exactly one name."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from airflow_mailchimp_export import __version__
from airflow_mailchimp_export.counts import Counts, FieldWarning
from airflow_mailchimp_export.model import Effect, Verdict
from airflow_mailchimp_export.state.manifest import Manifest, SegmentTally
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
class Report:
    """The account of one run, as ``report.json`` holds it.

    :param address_changes: how many members were renamed, how many could not be, and of how many that is not known.
    :param untagged_instead: of those removed, who lost their tags in place of being archived.
    :param examples: of a dry run, masked addresses for each effect.
    :param differing: merged rows whose mapped values differ from those of the row that counts.
    :param error: what stopped the run; empty where nothing did.
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
    address_changes: dict[str, int] = field(default_factory=dict)
    untagged_instead: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    differing: int = 0
    warnings: tuple[FieldWarning, ...] = ()
    error: str = ""
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

    def table(self) -> str:
        """Return the report as a small table for the log; it holds no address."""
        lines = [f"Export {self.export} to audience {self.audience_id}: {self.verdict.value.upper()}"]
        lines += [f"  {name:<16}{number:>12,}" for name, number in asdict(self.counts).items()]
        lines += (
            [f"  {'untagged in place of archived':<29}{self.untagged_instead:>8,}"]
            if self.untagged_instead
            else []
        )
        lines += _section("rejected, by reason", self.rejects_by_reason)
        lines += _section("suppressed, by reason", self.suppressed_by_reason)
        lines += [
            f"  segment {name!r}: {segment.rows:,} rows, {segment.members:,} members, "
            f"{segment.joined:,} joined, {segment.left:,} left"
            for name, segment in self.segments.items()
        ]
        lines += [
            f"  warning: {item.count:,} x {item.field}: {item.kind}. {item.remedy}" for item in self.warnings
        ]
        lines += [f"  merged rows that differ from the first: {self.differing:,}"] if self.differing else []
        return "\n".join(lines + ([f"  error: {self.error}"] if self.error else []))


def _section(title: str, numbers: Mapping[str, int]) -> list[str]:
    return (
        [f"  {title}:", *(f"    {name:<18}{number:>8,}" for name, number in numbers.items())]
        if numbers
        else []
    )


@dataclass(frozen=True, slots=True)
class Aggregates:
    """What the accounts of a run say, before it is judged.

    :param members: by segment, who of those sent is in the audience.
    :param joined: by segment, who of them did not carry its tag before.
    :param removed: by tag, who lost it.
    :param untagged_instead: who lost all tags in place of being archived.
    :param unconfirmed_renames: of how many members it is not known whether they were renamed.
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


def build_report(
    manifest: Manifest, aggregates: Aggregates, *, batch_ids: tuple[str, ...], error: str = ""
) -> Report:
    """Return the report of a run."""
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
        verdict=verdict_of(counts, max_reject_ratio=manifest.max_reject_ratio, error=error),
        counts=counts,
        rejects_by_reason=aggregates.rejects_by_reason,
        suppressed_by_reason=aggregates.suppressed_by_reason,
        segments={segment.name: _segment_summary(segment, aggregates) for segment in manifest.segments},
        batch_ids=batch_ids,
        address_changes=_address_changes(aggregates),
        untagged_instead=aggregates.untagged_instead,
        examples=aggregates.examples,
        differing=manifest.tallies.differing,
        warnings=manifest.warnings,
        error=error,
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


def verdict_of(counts: Counts, *, max_reject_ratio: float, error: str = "") -> Verdict:
    """Return how a run ended.

    It failed when something stopped it, when its counts do not add up, when too much was refused,
    or when nothing of what was sent got an answer.
    """
    nothing_confirmed = counts.unconfirmed > 0 and counts.created + counts.updated == 0
    if error or not counts.adds_up or nothing_confirmed:
        return Verdict.FAILED
    if counts.rejected > max_reject_ratio * counts.people:
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
