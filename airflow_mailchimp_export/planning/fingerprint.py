"""What a fingerprint stands for: all that shapes the request for a person, and nothing else.

A fingerprint is a digest of a person's values and of a salt. The salt changes when the *shape* of requests
changes, which then sends everybody once. The ledger keeps both beside each other, so that a release may spell
the shape in another way, and still recognise whom the release before has sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from airflow_mailchimp_export.fields.field_map import FieldMap
from airflow_mailchimp_export.fields.merge_field import MergeFieldTarget
from airflow_mailchimp_export.model import Audience, FingerprintBasis, MergeField

SHAPE_VERSION = 1
"""Raised when the same values would make another request than before."""


def basis_of(
    field_map: FieldMap,
    audience: Audience,
    known: FingerprintBasis | None,
    *,
    skip_merge_validation: bool,
    profile_id: str | None,
) -> FingerprintBasis:
    """Return what a run's fingerprints are based on: the ledger's basis where requests have the same shape.

    :param known: the basis of the ledger; ``None`` where there is no ledger.
    """
    shape = _digest(_shape(field_map, audience))
    rules = _digest(_rules(field_map, audience, skip_merge_validation=skip_merge_validation))
    if known and known.shape == shape:
        return replace(known, rules=rules)
    declared = tuple(target.name for target in field_map.targets)
    merge_fields = [target for target in field_map.targets if isinstance(target, MergeFieldTarget)]
    # Release 0.1.0 knew no other targets.
    if known and not known.shape and len(merge_fields) == len(declared):
        salt = _salt_of_0_1_0(
            field_map.email_column,
            merge_fields,
            audience,
            skip_merge_validation=skip_merge_validation,
            profile_id=profile_id,
        )
        return FingerprintBasis(shape, salt, declared, rules)
    return FingerprintBasis(shape, shape, tuple(sorted(declared)), rules)


@dataclass(frozen=True, slots=True)
class Fingerprinting:
    """How the fingerprints of a run are made.

    :param order: the positions of the mapped columns, from 1, in the order in which their values count;
        empty where that is the order of the columns.
    :param rules_changed: whether people who were refused before they were sent are tried again.
    :param floats: the positions of mapped columns with floats, and up to which number these hold each integer.
    """

    salt: str = ""
    order: tuple[int, ...] = ()
    rules_changed: bool = False
    floats: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        field_map: FieldMap,
        basis: FingerprintBasis,
        known: FingerprintBasis | None,
        floats: Mapping[int, int] | None = None,
    ) -> Fingerprinting:
        """Return how to make them on a basis, where the ledger's are on a known one."""
        columns = field_map.columns
        return cls(
            salt=basis.salt,
            order=tuple(columns.index(column) for column in in_order(field_map, basis.order).columns[1:]),
            rules_changed=bool(known and known.rules and known.rules != basis.rules),
            floats=floats or {},
        )

    def values(self, mapped: int) -> str:
        """The values that count, as SQL: whole floats as the integers that they are.

        :param mapped: how many columns are mapped.
        """
        return (
            self._packed(self.order or range(1, mapped), self._value) if self.floats else self.earlier_values
        )

    @property
    def earlier_values(self) -> str:
        """The values as releases took them that told 1.0 from 1, as SQL."""
        if self.order in ((), tuple(range(1, len(self.order) + 1))):
            return "fields"
        return self._packed(self.order, lambda position: f"fields.field_{position}")

    def _value(self, position: int) -> str:
        value, most = f"fields.field_{position}", self.floats.get(position)
        if most is None:
            return value
        is_whole = f"abs({value}) < {most} AND trunc({value}) = {value}"
        return f"CASE WHEN {is_whole} THEN {value}::BIGINT::VARCHAR ELSE {value}::VARCHAR END"

    @staticmethod
    def _packed(order: Iterable[int], told: Callable[[int], str]) -> str:
        named = (f"field_{rank} := {told(position)}" for rank, position in enumerate(order, 1))
        return f"struct_pack({', '.join(['field_0 := fields.field_0', *named])})"


def in_order(field_map: FieldMap, names: Iterable[str]) -> FieldMap:
    """Return a field map with its targets in the order in which a ledger's fingerprints took them."""
    by_name = {target.name: target for target in field_map.targets}
    return replace(field_map, targets=tuple(by_name[name] for name in names))


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value)).hexdigest()[:16]


def _shape(field_map: FieldMap, audience: Audience) -> list[object]:
    """List what makes a request of values; names of columns do not, only which value goes where."""
    canonical = in_order(field_map, sorted(target.name for target in field_map.targets))
    shapes = (target.shape(audience, canonical.positions(target)) for target in canonical.targets)
    return [SHAPE_VERSION, *shapes]


def _rules(field_map: FieldMap, audience: Audience, *, skip_merge_validation: bool) -> list[object]:
    required = sorted(target.name for target in field_map.targets if target.is_required(audience))
    return [SHAPE_VERSION, skip_merge_validation, required]


def _salt_of_0_1_0(
    email_column: str,
    targets: Sequence[MergeFieldTarget],
    audience: Audience,
    *,
    skip_merge_validation: bool,
    profile_id: str | None,
) -> str:
    """Return the salt of release 0.1.0, which was made of how its classes were printed; it must never change."""
    printed = ", ".join(map(_printed_target, targets)) + ("," if len(targets) == 1 else "")
    field_map = f"FieldMap(email_column={email_column!r}, rules=({printed}))"
    tags = sorted(target.name for target in targets)
    fields = [_printed_field(audience.merge_fields[tag]) for tag in tags]
    return _digest([field_map, *fields, skip_merge_validation, profile_id])


def _printed_target(target: MergeFieldTarget) -> str:
    blank = f"<Blank.{target.blank.value.upper()}: {target.blank.value!r}>"
    return (
        f"FieldRule(tag={target.name!r}, columns={target.columns!r}, parts={target.parts!r}, "
        f"blank={blank}, default={target.default!r})"
    )


def _printed_field(field: MergeField) -> str:
    return (
        f"MergeField(tag={field.tag!r}, name={field.name!r}, type={field.type!r}, "
        f"required={field.required!r}, choices={field.choices!r}, phone_format={field.phone_format!r}, "
        f"default_country={field.default_country!r})"
    )
