"""The plan of a run is written to its file, with the very requests that are to be sent."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mailchimp_export.fields.mapper import FieldMapper, ProfileBlock
from airflow_mailchimp_export.mailchimp.wire import MemberEncoder
from airflow_mailchimp_export.model import Reject
from airflow_mailchimp_export.planning.decided import TAIL, DecidedPlan
from airflow_mailchimp_export.planning.staging import staged_column
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
    payload = mapper.member_sql(staged_column, email="email", status="status", tail=TAIL)
    with Progress("Planning", "members", total=plan.upsert_count()) as progress:
        for block in plan.upserts(
            payload, [MemberEncoder.tail(membership.tags) for membership in memberships]
        ):
            rows, rejects = _encoded(block, mapper, memberships)
            writer.write(rows, rejects, memberships)
            progress.advance(rows.num_rows)


def _encoded(
    block: PlannedBlock, mapper: FieldMapper, memberships: Sequence[Membership]
) -> tuple[pa.RecordBatch, dict[int, Reject]]:
    """Make the payloads that are not there yet; return all rows, and why some have none."""
    rows = block.rows
    is_open = rows.column("payload").is_null()
    places = pc.indices_nonzero(is_open).to_pylist()
    if not places:
        return rows, {}
    members = list(mapper.to_members(_to_profiles(block, memberships)))
    made = [None if isinstance(member, Reject) else member.payload.decode() for member in members]
    payloads = pc.replace_with_mask(rows.column("payload"), is_open, pa.array(made, pa.string()))
    rejects = {
        place: member for place, member in zip(places, members, strict=True) if isinstance(member, Reject)
    }
    return rows.set_column(rows.schema.get_field_index("payload"), "payload", payloads), rejects


def _to_profiles(block: PlannedBlock, memberships: Sequence[Membership]) -> ProfileBlock:
    names = ("subscriber_hash", "email", "status", "membership", "source")
    hashes, emails, statuses, indices, sources = (block.open_rows.column(name).to_pylist() for name in names)
    tags = [memberships[index].tags for index in indices]
    return ProfileBlock(hashes, emails, statuses, tags, block.columns, sources, block.null_words)
