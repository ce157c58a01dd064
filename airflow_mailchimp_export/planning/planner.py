"""From the sources to the plan of a run: everything that happens before the first profile leaves."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.definition import RunContext
from airflow_mailchimp_export.delivery.opt_outs import CLOCK_MARGIN
from airflow_mailchimp_export.errors import ConfigError, NewerFormat, RemovalLimitExceeded
from airflow_mailchimp_export.mailchimp.members import count_members, read_members
from airflow_mailchimp_export.model import Audience, FingerprintBasis, MemberStatus
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.planning import guards
from airflow_mailchimp_export.planning.audience import read_audience
from airflow_mailchimp_export.planning.columns import Columns, check_columns, resolve_columns
from airflow_mailchimp_export.planning.decided import DecidedPlan
from airflow_mailchimp_export.planning.plan import StagedPlan, Staging
from airflow_mailchimp_export.planning.retiring import (
    WITHDRAWN_WITHOUT_CONSENT,
    Retirement,
    check_withdrawal,
    retirement_of,
)
from airflow_mailchimp_export.planning.staging import Layout, Members
from airflow_mailchimp_export.planning.statuses import looked_up
from airflow_mailchimp_export.planning.tags import AudienceTags, TagWarning, warning_of
from airflow_mailchimp_export.planning.writing import write_plan
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.rules import BILLED, REMOVAL_KINDS
from airflow_mailchimp_export.sources.opening import opened_sources
from airflow_mailchimp_export.sources.source import Source
from airflow_mailchimp_export.state import ledger
from airflow_mailchimp_export.state.claims import (
    Claim,
    check_owners,
    keys_of_others,
    other_ledgers,
    put_claim,
)
from airflow_mailchimp_export.state.ledger import Ledger, LedgerMark
from airflow_mailchimp_export.state.manifest import (
    AudienceNote,
    Manifest,
    RemovalTally,
    SegmentTally,
    Tallies,
)
from airflow_mailchimp_export.state.scratch import scratch_dir

log = logging.getLogger(__name__)


class Planner:
    """Plans one run of an export."""

    def __init__(self, run: RunContext) -> None:
        self._rows_read: Counter[str] = Counter()
        self._run = run
        self._definition = run.definition
        self._gateway = run.gateway
        self._looked_up_at = self._now()
        self._look_up = ""
        self._tag_warnings: tuple[FieldWarning, ...] = ()
        self._segment_warnings: tuple[FieldWarning, ...] = ()
        self._retirement = Retirement()
        self._replaces_ledger = False
        self._sources: tuple[str, ...] = ()
        self._audience = Audience(run.definition.audience_id, "")
        self._removals: tuple[RemovalTally, ...] = ()
        self._over_limit = ""

    def identify_sources(self) -> tuple[str, ...]:
        """Return what identifies the data of each segment now.

        :raises SourceError: when a source is gone.
        """
        with self._open_sources() as sources:
            return tuple(source.identity() for source in sources)

    def plan(self) -> Manifest:
        """Write the run's plan, and return what it says in short.

        :raises ConfigError: when the set-up is wrong.
        :raises SourceError: when a segment cannot be read.
        :raises RemovalLimitExceeded: when too many would be removed.
        """
        definition = self._definition
        self._ask_for_consent()
        with ExitStack() as stack:
            known = stack.enter_context(self._opened_ledger())
            mark = known.mark if known else None
            check_withdrawal(definition, mark, self._run.folder.export_folder().uri)
            check_owners(self._run.folder.export_folder(), self._claim)
            tags = AudienceTags(self._gateway, definition.audience_id, definition.segments)
            audience = self._audience = read_audience(self._gateway, definition.audience_id)
            sources = stack.enter_context(self._open_sources())
            self._sources = tuple(source.identity() for source in sources)
            guards.check_approved_sources(self._sources, definition.approved)
            columns = resolve_columns(
                definition, sources, audience, mark.basis if mark else None, self._gateway
            )
            with self._open_staging(columns, known) as staging:
                version = mark.version if mark else self._without_ledger(staging, tags, columns.basis)
                self._retire(staging, mark)
                staged = self._stage(staging, sources, columns.layout)
                check_columns(definition, columns.mapper, staged)
                self._look_up_statuses(staged)
                self._look_up_comebacks(staged, mark)
                decided = self._decide(staged, tags)
                self._check(decided)
                manifest = self._write(decided, columns, ledger_version=version)
            if not definition.dry_run:
                put_claim(self._run.folder.export_folder(), self._claim, known)
        self._run.folder.begin(manifest)
        return manifest

    def _ask_for_consent(self) -> None:
        try:
            self._run.gateway.permit()
        except ConfigError as error:
            if self._definition.withdraw:
                error.remedy = WITHDRAWN_WITHOUT_CONSENT
            raise

    def outline(self) -> Manifest:
        """Return what is known of a run that could not be planned: the rows that were read until then."""
        rows = self._rows_read
        segments = tuple(
            SegmentTally(segment.name, segment.tag, rows[segment.name])
            for segment in self._definition.segments
        )
        return self._manifest(segments, Tallies(rows_read=rows.total()))

    @contextmanager
    def _opened_ledger(self) -> Iterator[Ledger | None]:
        """Lend the export's own ledger; one that cannot be used is set aside where that was asked for."""
        folder = self._run.folder.export_folder()
        with ExitStack() as stack:
            try:
                known = stack.enter_context(ledger.opened(folder))
                mark = known.mark if known else None
                ledger.check_owner(
                    mark, export=self._definition.name, audience_id=self._definition.audience_id
                )
            except NewerFormat:
                raise
            except ConfigError as error:
                if not self._definition.full:
                    raise
                log.warning("%s. This run starts from nothing, and sets it aside at its end", error)
                self._replaces_ledger = True
                known = None
            mark = known.mark if known else None
            ledger.check_moment(mark, self._data_moment, allow_older=self._definition.options.allow_older)
            yield known

    @property
    def _data_moment(self) -> str:
        """Of what moment the data are; what is withdrawn has no data that others could be older than."""
        return "" if self._definition.withdraw else self._run.identity.data_moment

    @property
    def _claim(self) -> Claim:
        tags = {segment.tag for segment in self._definition.segments}
        return Claim(self._definition.name, self._definition.audience_id, tuple(sorted(tags)))

    @contextmanager
    def _open_sources(self) -> Iterator[list[Source]]:
        with opened_sources(
            self._definition.segments,
            self._definition.columns,
            path_factory=self._run.path_factory,
            connection_factory=self._run.connection_factory,
            insights=self._run.insights,
        ) as sources:
            yield sources

    @contextmanager
    def _open_staging(self, columns: Columns, known: Ledger | None) -> Iterator[Staging]:
        with (
            scratch_dir() as working,
            Staging(
                working,
                ledger=known.path if known else None,
                new_member_status=self._definition.options.new_member_status,
                fingerprints=columns.fingerprints,
                full=self._definition.full,
            ) as staging,
        ):
            yield staging

    def _without_ledger(self, staging: Staging, tags: AudienceTags, basis: FingerprintBasis) -> int:
        """Take over who carries a segment's tag, if asked to; return the version of the ledger that then says so."""
        definition = self._definition
        if not definition.options.adopt_existing_tag:
            self._tag_warnings += tags.carried()
            return 0
        staging.adopt(tags.carriers())
        if definition.dry_run:
            return 0
        mark = LedgerMark(definition.name, definition.audience_id, version=1, run="", basis=basis)
        ledger.write(self._run.folder.export_folder(), mark, staging.adopted_rows())
        return mark.version

    def _retire(self, staging: Staging, mark: LedgerMark | None) -> None:
        folder = self._run.folder.export_folder()
        self._retirement = retirement_of(
            self._definition,
            mark,
            staging.tags_of_ledger(),
            keys_of_others=lambda: keys_of_others(folder, self._claim),
        )
        self._tag_warnings += self._retirement.warnings

    def _stage(self, staging: Staging, sources: Sequence[Source], layout: Layout) -> StagedPlan:
        with Progress("Reading", "profiles") as progress:

            def note(segment: str, rows: int) -> None:
                self._rows_read[segment] += rows
                progress.advance(rows)

            staged = staging.stage(
                self._definition.segments, sources, layout, retired=self._retirement.tags, on_rows=note
            )
        guards.check_volume(self._rows_read.total(), max_profiles=self._definition.options.max_profiles)
        return staged

    def _look_up_statuses(self, plan: StagedPlan) -> None:
        """Subscribed members keep their status: they must be known where new ones get another.

        A dry run has to know them too, to tell who is new.
        """
        subscribes = self._definition.options.new_member_status is MemberStatus.SUBSCRIBED
        nobody_is_new = self._definition.withdraw or (subscribes and not self._definition.dry_run)
        known = () if nobody_is_new else (MemberStatus.SUBSCRIBED,)
        self._looked_up_at = self._now()
        with looked_up(self._run) as lookup:
            plan.record_statuses(lookup.path)
            lookup.keep()
            self._look_up = lookup.how
        if known:
            for status, members in self._members(*known):
                plan.record_status(status, members)

    def _look_up_comebacks(self, plan: StagedPlan, mark: LedgerMark | None) -> None:
        """Whoever was refused for good may have subscribed by themselves since the last run looked."""
        oldest = plan.remembered_since()
        if oldest is None or mark is None:
            return
        looked_up_at = datetime.fromisoformat(mark.looked_up_at) if mark.looked_up_at else oldest
        since = (looked_up_at - CLOCK_MARGIN).isoformat(timespec="seconds")
        audience_id = self._definition.audience_id
        for members in read_members(self._gateway, audience_id, MemberStatus.SUBSCRIBED, since=since):
            plan.record_subscribed_since(members)

    def _decide(self, plan: StagedPlan, tags: AudienceTags) -> DecidedPlan:
        gone = tags.gone(plan.tags_of_members())
        self._tag_warnings += gone
        decided = plan.decide(
            on_leave=self._definition.on_leave,
            gone_tags=[warning.field for warning in gone],
            others_known=self._look_into_other_ledgers(plan),
        )
        if self._definition.withdraw:
            kept = decided.kept_tags()
            self._tag_warnings += tuple(
                warning_of(TagWarning.KEPT, tag, people) for tag, people in kept.items()
            )
        return decided

    def _look_into_other_ledgers(self, plan: StagedPlan) -> bool:
        """Learn whom other exports have, where that decides who is removed; return whether all of them are known."""
        kind = REMOVAL_KINDS.get(self._definition.on_leave)
        if kind is None or not kind.only_created:
            return True
        known = True
        for path in other_ledgers(self._run.folder.export_folder(), self._claim):
            if path:
                plan.record_elsewhere(path)
            known = known and path is not None
        return known

    def _members(self, *statuses: MemberStatus) -> Iterator[tuple[MemberStatus, Members]]:
        with Progress("Looking up", "members") as progress:
            for status in statuses:
                for members in read_members(self._gateway, self._definition.audience_id, status):
                    yield status, members
                    progress.advance(len(members))

    def _check(self, plan: DecidedPlan) -> None:
        usable = plan.usable_rows()
        if not self._definition.withdraw:
            self._segment_warnings = guards.empty_segments(usable)
        if self._definition.on_leave != OnLeave.KEEP and not self._has_too_many_rejects(plan, usable):
            removals = plan.removal_counts([run.name for run in self._run.folder.earlier_attempts()])
            self._removals = tuple(removals)
            guards.check_segments(usable, removals, column=self._definition.field_map.email_column)
            self._check_removals(usable)
        self._check_contract(plan)

    def _check_removals(self, usable: Sequence[guards.UsableRows]) -> None:
        definition = self._definition
        if definition.approved:
            guards.check_approved_removals(self._removals, definition.approved.removals)
            return
        try:
            guards.check_removals(
                self._removals,
                usable,
                max_removal_ratio=definition.options.max_removal_ratio,
                removal_floor=definition.options.removal_floor,
            )
        except RemovalLimitExceeded as error:
            if not definition.preview:
                raise
            self._over_limit = error.happened

    def _has_too_many_rejects(self, plan: DecidedPlan, segments: Sequence[guards.UsableRows]) -> bool:
        """Whether the addresses alone stop the run: then it is refused for these, once they are listed."""
        rejected = sum(rows.rows - rows.usable for rows in segments)
        return rejected > self._definition.options.max_reject_ratio * plan.counts().people

    def _check_contract(self, plan: DecidedPlan) -> None:
        """Only where everybody being new would be too much, the subscribed members are read as well."""
        limit = self._definition.contact_limit
        if limit is None:
            return
        present = count_members(self._gateway, self._definition.audience_id, BILLED)
        new = plan.new_people()
        if present + new > limit:
            new = plan.new_people_besides(members for _, members in self._members(MemberStatus.SUBSCRIBED))
        guards.check_contract(present, new, contact_limit=limit)

    def _write(self, plan: DecidedPlan, columns: Columns, *, ledger_version: int) -> Manifest:
        with self._run.folder.writing_plan() as writer:
            tallies = write_plan(plan, columns.mapper, writer)
        return self._manifest(
            plan.segments(),
            tallies,
            ledger_version=ledger_version,
            basis=columns.basis,
            warnings=(*self._segment_warnings, *self._tag_warnings, *columns.mapper.warnings),
        )

    def _manifest(
        self,
        segments: tuple[SegmentTally, ...],
        tallies: Tallies,
        *,
        ledger_version: int = 0,
        basis: FingerprintBasis = FingerprintBasis(),
        warnings: tuple[FieldWarning, ...] = (),
    ) -> Manifest:
        definition, identity = self._definition, self._run.identity
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
            task=identity.task,
            definition=definition.digest,
            sources=self._sources,
            data_moment=self._data_moment,
            replaces_ledger=self._replaces_ledger,
            connection_id=identity.connection_id,
            audience=self._audience_note(),
            full=definition.full,
            withdraw=definition.withdraw,
            retired=self._retirement.so_far,
            removals=self._removals,
            over_limit=self._over_limit,
            read_as=identity.read_as,
            look_up=self._look_up,
        )

    def _audience_note(self) -> AudienceNote:
        audience, account = self._audience, self._run.identity.account
        return AudienceNote(
            audience.name, audience.web_id, account.data_center, account.audience_page(audience.web_id)
        )

    def _now(self) -> str:
        return self._run.gateway.now().isoformat(timespec="seconds")
