"""One export from its sources to its report: the only file that composes the stages.

:meth:`Export.submit` plans and sends; :func:`settle` collects the answers and accounts for every row.
Between the two lies the run's folder, so that they can run in different tasks on different machines.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from airflow_mailchimp_export import answers, guards
from airflow_mailchimp_export.accounts import Accounts
from airflow_mailchimp_export.audience import (
    BILLED,
    UNTOUCHABLE,
    count_members,
    create_merge_fields,
    read_audience,
    read_members,
)
from airflow_mailchimp_export.chunks import PlanWriter, read_chunks
from airflow_mailchimp_export.collection import Collector
from airflow_mailchimp_export.config import ExportOptions, Segment
from airflow_mailchimp_export.delivery import Upserter, deliver_directly, submit_batches
from airflow_mailchimp_export.errors import ConfigError, ExportError
from airflow_mailchimp_export.field_map import FieldMap, FieldMapper, ProfileBlock
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.manifest import (
    FieldWarning,
    Manifest,
    SegmentTally,
    SubmittedBatch,
    Tallies,
    batches_from_json,
    batches_to_json,
)
from airflow_mailchimp_export.model import Audience, Chunk, Delivery, Effect, MemberStatus
from airflow_mailchimp_export.plan import Membership, Plan, PlannedBlock
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.report import Findings, Report, draw_up
from airflow_mailchimp_export.run_folder import BATCHES, PLAN, REPORT, RUN, RunFolder
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.staging import common_schema

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDefinition:
    """What goes where.

    :param contact_limit: the contract's number of contacts; ``None`` where it is not to be checked.
    """

    name: str
    audience_id: str
    segments: tuple[Segment, ...]
    field_map: FieldMap
    delivery: Delivery = Delivery.BATCH
    options: ExportOptions = ExportOptions()
    contact_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which run it is, and who answers for it."""

    run_id: str
    dag_id: str
    export_user: str
    started_at: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """The way to Mailchimp.

    :param permit: called before every submission; raises :class:`ConfigError` once consent is withdrawn.
    :param sleep: waits that many seconds.
    """

    client: MailchimpClient
    permit: Callable[[], None]
    sleep: Callable[[float], None] = time.sleep

    def upserter(self, audience_id: str, *, skip_merge_validation: bool) -> Upserter:
        """Return what sends chunks to an audience."""
        return Upserter(
            self.client, audience_id, permit=self.permit, skip_merge_validation=skip_merge_validation
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """What was handed over.

    :param report: where nothing is left to wait for, the account of the run.
    """

    batch_ids: tuple[str, ...]
    report: Report | None


class Export:
    """One run of one export.

    :param folder: where the run keeps its files.
    :param path_factory: makes a path of a source's URI and connection id.
    """

    def __init__(
        self,
        definition: ExportDefinition,
        identity: RunIdentity,
        *,
        gateway: Gateway,
        folder: RunFolder,
        path_factory: PathFactory,
    ) -> None:
        self._definition = definition
        self._identity = identity
        self._gateway = gateway
        self._client = gateway.client
        self._folder = folder
        self._path_factory = path_factory
        self._rows_read = 0

    def submit(self, *, on_batch: Callable[[str], None] = lambda batch_id: None) -> Submission:
        """Plan the run and send it; with direct delivery, settle it too.

        :param on_batch: told of each batch that Mailchimp took.
        :raises ConfigError: when the set-up is wrong; nothing was sent.
        :raises SourceError: when a segment cannot be read; nothing was sent.
        :raises TooManyRejects: when too many profiles cannot be sent; nothing was sent.
        :raises MailchimpError: when Mailchimp refuses or is out of reach; what it answered before is kept.
        """
        try:
            manifest = self._prepare()
            batches = self._deliver(manifest, on_batch)
        except ExportError as error:
            self._account_for_failure(error)
            raise
        if batches:
            return Submission(tuple(batch.id for batch in batches), report=None)
        return Submission((), settle(self._folder, gateway=self._gateway))

    def _prepare(self) -> Manifest:
        self._gateway.permit()
        audience = read_audience(self._client, self._definition.audience_id)
        with ExitStack() as stack:
            sources = [
                stack.enter_context(closing(self._open(segment))) for segment in self._definition.segments
            ]
            workshop = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            mapper = self._mapper(audience, sources)
            status = self._definition.options.new_member_status
            plan = stack.enter_context(Plan(workshop, new_member_status=status))
            self._stage(plan, sources)
            self._check_columns(plan, mapper)
            self._look_up_standings(plan)
            plan.merge()
            self._check_contract(plan)
            return self._write_plan(plan, mapper)

    def _open(self, segment: Segment) -> Source:
        return open_source(segment, self._definition.field_map.columns, path_factory=self._path_factory)

    def _mapper(self, audience: Audience, sources: Sequence[Source]) -> FieldMapper:
        """Merge fields are created only once everything else about the field map is known to be right."""
        field_map, options, schema = (
            self._definition.field_map,
            self._definition.options,
            common_schema(sources),
        )
        missing = field_map.missing(audience.merge_fields, schema) if options.create_merge_fields else ()
        known = {**audience.merge_fields, **{field.tag: field for field in missing}}
        mapper = field_map.resolve(known, schema, skip_merge_validation=options.skip_merge_validation)
        create_merge_fields(self._client, audience.id, missing)
        return mapper

    def _stage(self, plan: Plan, sources: Sequence[Source]) -> None:
        with Progress("Reading", "profiles") as progress:
            for rows in plan.stage(self._definition.segments, sources):
                self._rows_read += rows
                progress.advance(rows)
        guards.check_volume(self._rows_read, max_profiles=self._definition.options.max_profiles)

    def _check_columns(self, plan: Plan, mapper: FieldMapper) -> None:
        """A column of which no value fits is a wrong field map, not so many wrong profiles."""
        field_map = self._definition.field_map
        for rule in field_map.rules:
            values = plan.values([field_map.columns.index(column) for column in rule.columns])
            mapper.check_column(rule.tag, values if rule.parts else (value for (value,) in values))

    def _look_up_standings(self, plan: Plan) -> None:
        """Subscribed members keep their status: they must be known where new ones get another."""
        new_status = self._definition.options.new_member_status
        known = () if new_status is MemberStatus.SUBSCRIBED else (MemberStatus.SUBSCRIBED,)
        with Progress("Looking up", "members") as progress:
            for status in (*UNTOUCHABLE, *known):
                self._note_standing(plan, status, progress)

    def _note_standing(self, plan: Plan, status: MemberStatus, progress: Progress) -> None:
        for members in read_members(self._client, self._definition.audience_id, status):
            plan.stand(status, members)
            progress.advance(len(members))

    def _check_contract(self, plan: Plan) -> None:
        """Only where everybody being new would be too much, the subscribed members are read as well."""
        limit = self._definition.contact_limit
        if limit is None:
            return
        present = count_members(self._client, self._definition.audience_id, BILLED)
        new = plan.count("new_count")
        if present + new > limit:
            with Progress("Looking up", "members") as progress:
                self._note_standing(plan, MemberStatus.SUBSCRIBED, progress)
            new = plan.count("new_count")
        guards.check_contract(present, new, contact_limit=limit)

    def _write_plan(self, plan: Plan, mapper: FieldMapper) -> Manifest:
        memberships = plan.memberships()
        examples: dict[int, str] = {}
        with (
            self._folder.writing(PLAN) as draft,
            PlanWriter(draft) as writer,
            Progress("Planning", "members", total=plan.count("upsert_count")) as progress,
        ):
            for rows in plan.set_aside():
                writer.set_aside(rows)
            mapped = 0
            for block in plan.upserts():
                profiles = _to_profiles(block, memberships, first_row=mapped)
                writer.write(block, list(mapper.to_members(profiles)), memberships)
                examples |= _located(mapper, block, first_row=mapped)
                mapped += len(block.hashes)
                progress.advance(len(block.hashes))
        warnings = tuple(
            FieldWarning(
                item.tag,
                item.kind.value,
                item.count,
                tuple(examples[row] for row in item.positions),
                item.remedy,
            )
            for item in mapper.warnings
        )
        return self._seal(plan, writer, warnings)

    def _seal(self, plan: Plan, writer: PlanWriter, warnings: tuple[FieldWarning, ...]) -> Manifest:
        """Keep what is planned; a run that is stopped from here on can be accounted for."""
        rows_read, merged, differing = plan.tallies()
        manifest = self._identified(
            segments=tuple(SegmentTally(*row) for row in plan.segment_rows()),
            tallies=Tallies(rows_read, merged, differing, planned=writer.planned, chunks=writer.chunks),
            warnings=warnings,
        )
        self._folder.put(RUN, manifest.to_json())
        guards.check_rejects(
            writer.rejected, rows_read - merged, max_reject_ratio=self._definition.options.max_reject_ratio
        )
        return manifest

    def _identified(
        self,
        *,
        segments: tuple[SegmentTally, ...],
        tallies: Tallies,
        warnings: tuple[FieldWarning, ...] = (),
    ) -> Manifest:
        definition, identity = self._definition, self._identity
        return Manifest(
            export=definition.name,
            run_id=identity.run_id,
            dag_id=identity.dag_id,
            audience_id=definition.audience_id,
            export_user=identity.export_user,
            started_at=identity.started_at,
            delivery=definition.delivery,
            skip_merge_validation=definition.options.skip_merge_validation,
            max_reject_ratio=definition.options.max_reject_ratio,
            segments=segments,
            warnings=warnings,
            tallies=tallies,
        )

    def _deliver(self, manifest: Manifest, on_batch: Callable[[str], None]) -> list[SubmittedBatch]:
        upserter = self._gateway.upserter(
            manifest.audience_id, skip_merge_validation=manifest.skip_merge_validation
        )
        with (
            self._folder.reading(PLAN) as plan,
            Progress("Sending", "members", total=manifest.tallies.planned) as progress,
        ):
            if manifest.delivery is Delivery.BATCH:
                return self._submit_batches(read_chunks(plan), upserter, progress, on_batch)
            for members in _delivered(read_chunks(plan), upserter, self._gateway, self._folder):
                progress.advance(members)
        return []

    def _submit_batches(
        self,
        chunks: Iterator[Chunk],
        upserter: Upserter,
        progress: Progress,
        on_batch: Callable[[str], None],
    ) -> list[SubmittedBatch]:
        batches: list[SubmittedBatch] = []
        for batch, members in submit_batches(chunks, upserter, self._client, permit=self._gateway.permit):
            batches.append(batch)
            on_batch(batch.id)
            self._folder.put(BATCHES, batches_to_json(batches))
            progress.advance(members)
        return batches

    def _account_for_failure(self, error: ExportError) -> None:
        """Leave a report behind even of a run that failed before or while it sent."""
        try:
            if self._folder.exists(RUN):
                settle(self._folder, gateway=self._gateway, error=str(error))
            else:
                self._report_unplanned(str(error))
        except ExportError as further:
            log.warning("No report could be written: %s", further)

    def _report_unplanned(self, error: str) -> None:
        segments = tuple(SegmentTally(segment.name, segment.tag, 0) for segment in self._definition.segments)
        manifest = self._identified(segments=segments, tallies=Tallies(self._rows_read, 0, 0, 0, 0))
        findings = Findings({Effect.UNCONFIRMED.value: self._rows_read}, {}, {}, {})
        _publish(self._folder, draw_up(manifest, findings, batch_ids=(), error=error))


def _to_profiles(block: PlannedBlock, memberships: Sequence[Membership], *, first_row: int) -> ProfileBlock:
    tags = [memberships[index].tags for index in block.memberships]
    return ProfileBlock(block.hashes, block.emails, block.statuses, tags, block.columns, first_row)


def _located(mapper: FieldMapper, block: PlannedBlock, *, first_row: int) -> dict[int, str]:
    """Say where the profiles of a block stand that a warning gives as examples."""
    rows = {row for warning in mapper.warnings for row in warning.positions}
    return {row: block.sources[row - first_row] for row in rows if row >= first_row}


def settle(folder: RunFolder, *, gateway: Gateway, error: str = "") -> Report:
    """Collect what Mailchimp answered, account for every row, and return the report.

    A run that is settled already is not settled again.

    :param error: what stopped the run, if something did; then nothing more is sent.
    :raises ConfigError: when there is no run in the folder.
    :raises MailchimpError: when Mailchimp refuses or is out of reach; settle again then.
    """
    if folder.exists(REPORT):
        return Report.from_json(folder.read(REPORT))
    if not folder.exists(RUN):
        raise ConfigError(
            f"There is no run to account for at {folder.uri}. "
            "Set exports_root to a place that all workers share"
        )
    manifest = Manifest.from_json(folder.read(RUN))
    batches = batches_from_json(folder.read(BATCHES)) if folder.exists(BATCHES) else ()
    if not error:
        _collect(folder, manifest, batches, gateway)
    with Accounts(folder) as accounts:
        accounts.write_outcomes()
        accounts.write_rejects()
        findings = accounts.findings()
    report = draw_up(manifest, findings, batch_ids=tuple(batch.id for batch in batches), error=error)
    _publish(folder, report)
    folder.drop_answers()
    return report


def _publish(folder: RunFolder, report: Report) -> None:
    folder.put(REPORT, report.to_json())
    log.info("%s\n  files: %s", report.table(), folder.uri)


def _collect(
    folder: RunFolder, manifest: Manifest, batches: Sequence[SubmittedBatch], gateway: Gateway
) -> None:
    """Fetch the batches' answers; chunks that a batch could not deliver are delivered directly."""
    refused: set[int] = set()
    with Progress("Collecting", "answers", total=manifest.tallies.planned) as progress:
        for collected in Collector(gateway.client, folder, sleep=gateway.sleep).collect(batches):
            progress.advance(collected.members)
            refused.update(collected.refused)
        if not refused:
            return
        upserter = gateway.upserter(
            manifest.audience_id, skip_merge_validation=manifest.skip_merge_validation
        )
        with folder.reading(PLAN) as plan:
            again = (chunk for chunk in read_chunks(plan) if chunk.number in refused)
            for members in _delivered(again, upserter, gateway, folder):
                progress.advance(members)


def _delivered(
    chunks: Iterator[Chunk], upserter: Upserter, gateway: Gateway, folder: RunFolder
) -> Iterator[int]:
    return deliver_directly(
        chunks,
        upserter,
        connections=gateway.client.max_connections,
        keep=lambda number, outcomes: answers.keep(folder, answers.chunk_key(number), [outcomes]),
    )
