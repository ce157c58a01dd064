"""From the sources to the plan of a run: everything that happens before the first profile leaves."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from airflow_mailchimp_export.definition import ExportDefinition, RunIdentity
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.mapper import FieldMapper, ProfileBlock
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.members import count_members, read_members, read_tag, read_tags
from airflow_mailchimp_export.model import Audience, FieldWarning, FingerprintBasis, MemberStatus, MergeField
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning import guards
from airflow_mailchimp_export.planning.audience import create_merge_fields, read_audience
from airflow_mailchimp_export.planning.fingerprint import basis_of, in_order
from airflow_mailchimp_export.planning.plan import Fingerprinting, Plan
from airflow_mailchimp_export.planning.staging import Layout, common_schema
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.rules import BILLED, HELD_BACK
from airflow_mailchimp_export.settings.segments import Segment
from airflow_mailchimp_export.sources.finding import PathFactory
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state import ledger
from airflow_mailchimp_export.state.manifest import Manifest, SegmentTally, Tallies
from airflow_mailchimp_export.state.plan_file import Membership, PlannedBlock, PlanWriter
from airflow_mailchimp_export.state.run import PLAN, RUN, RunFolder

log = logging.getLogger(__name__)


class Planner:
    """Plans one run of an export.

    :ivar rows_read: how many rows were read so far.
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
        self.rows_read = 0
        self._definition = definition
        self._identity = identity
        self._gateway = gateway
        self._looked_up_at = self._now()
        self._folder = folder
        self._path_factory = path_factory

    def plan(self) -> Manifest:
        """Write the run's plan, and return what it says in short.

        :raises ConfigError: when the set-up is wrong.
        :raises SourceError: when a segment cannot be read.
        :raises RemovalLimitExceeded: when too many would leave.
        """
        self._gateway.permit()
        mark = self._ledger_mark()
        audience = read_audience(self._gateway, self._definition.audience_id)
        with ExitStack() as stack:
            sources = [
                stack.enter_context(closing(self._open(segment))) for segment in self._definition.segments
            ]
            scratch_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            layout = self._layout(sources)
            merge_fields = self._merge_fields(audience, layout)
            mapper = self._mapper(merge_fields, layout)
            basis = self._basis(merge_fields, mark)
            known = stack.enter_context(ledger.open_local(self._folder.export_folder()))
            plan = stack.enter_context(self._start(scratch_dir, basis, mark))
            version = self._load_ledger(plan, known, mark, basis)
            self._stage(plan, sources, layout)
            self._check_columns(plan, mapper)
            self._look_up_statuses(plan)
            plan.merge(on_leave=self._definition.on_leave)
            self._check(plan)
            manifest = self._write(plan, mapper, ledger_version=version, basis=basis)
        self._folder.put(RUN, manifest.to_json())
        return manifest

    def outline(self) -> Manifest:
        """Return what is known of a run that could not be planned."""
        segments = tuple(SegmentTally(segment.name, segment.tag, 0) for segment in self._definition.segments)
        return self._manifest(segments, Tallies(self.rows_read))

    def _ledger_mark(self) -> ledger.LedgerMark | None:
        folder = self._folder.export_folder()
        try:
            mark = ledger.read_mark(folder)
            ledger.check_owner(mark, export=self._definition.name, audience_id=self._definition.audience_id)
        except ConfigError as error:
            if not self._definition.full or self._definition.dry_run:
                raise
            log.warning("%s. This run starts anew", error)
            ledger.set_aside(folder)
            return None
        return mark

    def _open(self, segment: Segment) -> Source:
        return open_source(segment, self._definition.columns, path_factory=self._path_factory)

    def _layout(self, sources: Sequence[Source]) -> Layout:
        profile_id = self._definition.options.profile_id
        columns = self._definition.columns
        return Layout(
            common_schema(sources),
            mapped=len(self._definition.field_map.columns),
            profile_id=columns.index(profile_id) if profile_id else None,
        )

    def _merge_fields(self, audience: Audience, layout: Layout) -> Mapping[str, MergeField]:
        """Return the audience's merge fields, with those that were created because it lacks them.

        They are created only once everything else about the field map is known to be right.
        """
        if not self._definition.options.create_merge_fields:
            return audience.merge_fields
        missing = self._definition.field_map.missing(audience.merge_fields, layout.schema)
        planned = {**audience.merge_fields, **{field.tag: field for field in missing}}
        if self._definition.dry_run:
            return planned
        self._mapper(planned, layout)
        created = create_merge_fields(self._gateway, audience.id, missing)
        return {**audience.merge_fields, **{field.tag: field for field in created}}

    def _mapper(self, merge_fields: Mapping[str, MergeField], layout: Layout) -> FieldMapper:
        return self._definition.field_map.resolve(
            merge_fields,
            layout.schema,
            skip_merge_validation=self._definition.options.skip_merge_validation,
        )

    def _basis(
        self, merge_fields: Mapping[str, MergeField], mark: ledger.LedgerMark | None
    ) -> FingerprintBasis:
        return basis_of(
            self._definition.field_map,
            merge_fields,
            mark.basis if mark else None,
            skip_merge_validation=self._definition.options.skip_merge_validation,
            profile_id=self._definition.options.profile_id,
        )

    def _start(self, scratch_dir: Path, basis: FingerprintBasis, mark: ledger.LedgerMark | None) -> Plan:
        columns = self._definition.field_map.columns
        ordered = in_order(self._definition.field_map, basis.order).columns
        return Plan(
            scratch_dir,
            new_member_status=self._definition.options.new_member_status,
            fingerprints=Fingerprinting(
                salt=basis.salt,
                order=tuple(columns.index(column) for column in ordered[1:]),
                rules_changed=bool(mark and mark.basis.rules and mark.basis.rules != basis.rules),
            ),
            full=self._definition.full,
        )

    def _load_ledger(
        self, plan: Plan, known: Path | None, mark: ledger.LedgerMark | None, basis: FingerprintBasis
    ) -> int:
        """Take in what earlier runs did; return the version of the ledger that tells it."""
        plan.load_ledger(known)
        if mark is None and self._definition.options.adopt_existing_tag:
            return self._adopt(plan, basis)
        return mark.version if mark else 0

    def _adopt(self, plan: Plan, basis: FingerprintBasis) -> int:
        """Take over who carries a segment's tag, and write that down as the first ledger."""
        definition = self._definition
        tag_ids = read_tags(self._gateway, definition.audience_id)
        for tag in sorted({segment.tag for segment in definition.segments} & tag_ids.keys()):
            for members in read_tag(self._gateway, definition.audience_id, tag_ids[tag]):
                plan.adopt(tag, members)
        plan.adopted()
        if definition.dry_run:
            return 0
        mark = ledger.LedgerMark(definition.name, definition.audience_id, version=1, run="", basis=basis)
        with self._folder.export_folder().writing(ledger.LEDGER) as draft:
            plan.write_adopted(draft, key=ledger.METADATA_KEY, mark=mark.to_json())
        return mark.version

    def _stage(self, plan: Plan, sources: Sequence[Source], layout: Layout) -> None:
        with Progress("Reading", "profiles") as progress:
            for rows in plan.stage(self._definition.segments, sources, layout):
                self.rows_read += rows
                progress.advance(rows)
        guards.check_volume(self.rows_read, max_profiles=self._definition.options.max_profiles)

    def _check_columns(self, plan: Plan, mapper: FieldMapper) -> None:
        """A column of which no value fits is a wrong field map, not so many wrong profiles."""
        field_map = self._definition.field_map
        for rule in field_map.rules:
            values = plan.values([field_map.columns.index(column) for column in rule.columns])
            mapper.check_column(rule.tag, values if rule.parts else (value for (value,) in values))

    def _look_up_statuses(self, plan: Plan) -> None:
        """Subscribed members keep their status: they must be known where new ones get another.

        A dry run has to know them too, to tell who is new.
        """
        subscribes = self._definition.options.new_member_status is MemberStatus.SUBSCRIBED
        known = () if subscribes and not self._definition.dry_run else (MemberStatus.SUBSCRIBED,)
        self._looked_up_at = self._now()
        with Progress("Looking up", "members") as progress:
            for status in (*HELD_BACK, *known):
                self._record_members(plan, status, progress)

    def _record_members(self, plan: Plan, status: MemberStatus, progress: Progress) -> None:
        for members in read_members(self._gateway, self._definition.audience_id, status):
            plan.record_status(status, members)
            progress.advance(len(members))

    def _check(self, plan: Plan) -> None:
        options = self._definition.options
        if self._definition.on_leave != OnLeave.KEEP:
            leaving, owned = plan.removal_totals()
            guards.check_removals(leaving, owned, plan.emptied(), max_removal_ratio=options.max_removal_ratio)
        self._check_contract(plan)

    def _check_contract(self, plan: Plan) -> None:
        """Only where everybody being new would be too much, the subscribed members are read as well."""
        limit = self._definition.contact_limit
        if limit is None:
            return
        present = count_members(self._gateway, self._definition.audience_id, BILLED)
        new = plan.count("new_count")
        if present + new > limit:
            with Progress("Looking up", "members") as progress:
                self._record_members(plan, MemberStatus.SUBSCRIBED, progress)
            new = plan.count("surely_new_count")
        guards.check_contract(present, new, contact_limit=limit)

    def _write(
        self, plan: Plan, mapper: FieldMapper, *, ledger_version: int, basis: FingerprintBasis
    ) -> Manifest:
        with self._folder.writing(PLAN) as draft, PlanWriter(draft) as writer:
            for rows in plan.set_aside():
                writer.set_aside(rows)
            writer.rename(plan.renames())
            self._write_upserts(plan, mapper, writer)
            writer.remove(plan.removals())
        counts = plan.counts()
        tallies = Tallies(
            rows_read=counts.rows_read,
            merged=counts.merged,
            unchanged=counts.unchanged,
            rejected=writer.rejected,
            differing=plan.count("conflicting_duplicates"),
            planned=writer.planned,
            upsert_chunks=writer.upsert_chunks,
            leave_chunks=writer.removal_chunks,
        )
        return self._manifest(
            plan.segments(), tallies, ledger_version=ledger_version, basis=basis, warnings=mapper.warnings
        )

    def _write_upserts(self, plan: Plan, mapper: FieldMapper, writer: PlanWriter) -> None:
        memberships = plan.memberships()
        with Progress("Planning", "members", total=plan.count("upsert_count")) as progress:
            for block in plan.upserts():
                members = list(mapper.to_members(_to_profiles(block, memberships)))
                writer.write(block, members, memberships)
                progress.advance(len(block.hashes))

    def _manifest(
        self,
        segments: tuple[SegmentTally, ...],
        tallies: Tallies,
        *,
        ledger_version: int = 0,
        basis: FingerprintBasis = FingerprintBasis(),
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
            planned_at=self._looked_up_at,
            delivery=definition.delivery,
            skip_merge_validation=definition.options.skip_merge_validation,
            max_reject_ratio=definition.options.max_reject_ratio,
            dry_run=definition.dry_run,
            keep_runs=definition.options.keep_runs,
            ledger_version=ledger_version,
            segments=segments,
            warnings=warnings,
            tallies=tallies,
            basis=basis,
        )

    def _now(self) -> str:
        return self._gateway.now().isoformat(timespec="seconds")


def _to_profiles(block: PlannedBlock, memberships: Sequence[Membership]) -> ProfileBlock:
    tags = [memberships[index].tags for index in block.memberships]
    return ProfileBlock(block.hashes, block.emails, block.statuses, tags, block.columns, block.sources)
