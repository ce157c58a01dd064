"""The columns of the sources beside the merge fields of the audience: what fills what, and how it is compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from airflow_mailchimp_export.definition import ExportDefinition
from airflow_mailchimp_export.fields.mapper import FieldMapper
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Audience, FingerprintBasis, MergeField
from airflow_mailchimp_export.planning.audience import create_merge_fields
from airflow_mailchimp_export.planning.fingerprint import Fingerprinting, basis_of
from airflow_mailchimp_export.planning.plan import StagedPlan
from airflow_mailchimp_export.planning.staging import Layout, common_schema
from airflow_mailchimp_export.sources.source import Source


@dataclass(frozen=True, slots=True)
class Columns:
    """What a run does with the columns of its sources.

    :param layout: which column is which.
    :param mapper: makes members of their values.
    :param basis: of the fingerprints of their values.
    :param fingerprints: how these are made.
    """

    layout: Layout
    mapper: FieldMapper
    basis: FingerprintBasis
    fingerprints: Fingerprinting


def resolve_columns(
    definition: ExportDefinition,
    sources: Sequence[Source],
    audience: Audience,
    known: FingerprintBasis | None,
    sender: Sender,
) -> Columns:
    """Return what is done with the columns; merge fields that the audience lacks are created, if that is asked for.

    :param known: what the fingerprints of the ledger are based on; ``None`` where there is no ledger.
    :raises ConfigError: when the field map does not suit the sources or the audience.
    """
    if definition.withdraw:
        return _without_columns(definition, audience, known)
    options = definition.options
    columns = definition.columns
    layout = Layout(
        common_schema(sources),
        mapped=len(definition.field_map.columns),
        profile_id=columns.index(options.profile_id) if options.profile_id else None,
    )
    audience = _with_merge_fields(definition, audience, layout, sender)
    # First, because what follows takes the field map for right.
    mapper = _mapper(definition, audience, layout)
    basis = basis_of(
        definition.field_map,
        audience,
        known,
        skip_merge_validation=options.skip_merge_validation,
        profile_id=options.profile_id,
    )
    layout = replace(layout, days=mapper.day_columns, numbers=mapper.number_columns)
    fingerprints = Fingerprinting.of(definition.field_map, basis, known, layout.floats)
    return Columns(layout, mapper, basis, fingerprints)


def _without_columns(
    definition: ExportDefinition, audience: Audience, known: FingerprintBasis | None
) -> Columns:
    """Where nothing is read, the fingerprints of the ledger stay what they are."""
    layout = Layout(pa.schema([(definition.field_map.email_column, pa.string())]), mapped=1)
    basis = known or FingerprintBasis()
    return Columns(layout, _mapper(definition, audience, layout), basis, Fingerprinting())


def _with_merge_fields(
    definition: ExportDefinition, audience: Audience, layout: Layout, sender: Sender
) -> Audience:
    """Return the audience with the merge fields that were created because it lacks them.

    They are created only once everything else about the field map is known to be right.
    """
    if not definition.options.create_merge_fields:
        return audience
    missing = definition.field_map.missing(audience, layout.schema)
    planned = _with(audience, missing)
    if definition.dry_run:
        return planned
    _mapper(definition, planned, layout)
    created = create_merge_fields(sender, audience.id, missing)
    return _with(audience, created)


def _with(audience: Audience, fields: Iterable[MergeField]) -> Audience:
    return replace(audience, merge_fields={**audience.merge_fields, **{field.tag: field for field in fields}})


def _mapper(definition: ExportDefinition, audience: Audience, layout: Layout) -> FieldMapper:
    return definition.field_map.resolve(
        audience, layout.schema, skip_merge_validation=definition.options.skip_merge_validation
    )


def check_columns(definition: ExportDefinition, mapper: FieldMapper, plan: StagedPlan) -> None:
    """Stop a run with a column of which no value fits: that is a wrong field map, not so many wrong profiles.

    :raises ConfigError: names the target and what it takes.
    """
    field_map = definition.field_map
    for target in field_map.targets:
        positions = field_map.positions(target)
        mapper.check_column(target.name, plan.values(positions), partial(plan.example, positions))
