"""The plan of a run is written to its file, with the very requests that are to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mailchimp_export.fields.mapper import FieldMapper, ProfileBlock
from airflow_mailchimp_export.planning.decided import DecidedPlan
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.state.manifest import Tallies
from airflow_mailchimp_export.state.plan_file import Membership, PlannedBlock, PlanWriter


def write_plan(plan: DecidedPlan, mapper: FieldMapper, writer: PlanWriter) -> Tallies:
    """Write what is to be done with each person; return how much that is."""
    for rows in plan.set_aside():
        writer.set_aside(rows)
    writer.rename(plan.renames())
    _write_upserts(plan, mapper, writer)
    writer.remove(plan.removals())
    counts = plan.counts()
    return Tallies(
        rows_read=counts.rows_read,
        merged=counts.merged,
        unchanged=counts.unchanged,
        rejected=writer.rejected,
        differing=plan.conflicting_duplicates(),
        planned=writer.planned,
        upsert_chunks=writer.upsert_chunks,
        removal_chunks=writer.removal_chunks,
        removals=writer.removals,
        untagged_instead=plan.untagged_instead(),
    )


def _write_upserts(plan: DecidedPlan, mapper: FieldMapper, writer: PlanWriter) -> None:
    memberships = plan.memberships()
    with Progress("Planning", "members", total=plan.upsert_count()) as progress:
        for block in plan.upserts():
            writer.write(block, list(mapper.to_members(_to_profiles(block, memberships))), memberships)
            progress.advance(len(block.hashes))


def _to_profiles(block: PlannedBlock, memberships: Sequence[Membership]) -> ProfileBlock:
    tags = [memberships[index].tags for index in block.memberships]
    return ProfileBlock(
        block.hashes, block.emails, block.statuses, tags, block.columns, block.sources, block.null_words
    )
