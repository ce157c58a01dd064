"""What a fingerprint stands for: all that shapes the request for a person, and nothing else.

A fingerprint is a digest of a person's values and of a salt. The salt changes when the *shape* of requests
changes, which then sends everybody once. The ledger keeps both beside each other, so that a release may spell
the shape in another way, and still recognise whom the release before has sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import orjson

from airflow_mailchimp_export.fields.field_map import FieldMap, FieldRule
from airflow_mailchimp_export.model import FingerprintBasis, MergeField

SHAPE_VERSION = 1
"""Raised when the same values would make another request than before."""

_TYPES_WITH_CHOICES = frozenset({"radio", "dropdown"})


def basis_of(
    field_map: FieldMap,
    merge_fields: Mapping[str, MergeField],
    known: FingerprintBasis | None,
    *,
    skip_merge_validation: bool,
    profile_id: str | None,
) -> FingerprintBasis:
    """Return what a run's fingerprints are based on: the ledger's basis where requests have the same shape.

    :param known: the basis of the ledger; ``None`` where there is no ledger.
    """
    shape = _digest(_shape(field_map, merge_fields))
    rules = _digest(_rules(field_map, merge_fields, skip_merge_validation=skip_merge_validation))
    if known and known.shape == shape:
        return replace(known, rules=rules)
    order = tuple(sorted(rule.tag for rule in field_map.rules))
    if known and not known.shape:
        declared = tuple(rule.tag for rule in field_map.rules)
        salt = _salt_of_0_1_0(
            field_map, merge_fields, skip_merge_validation=skip_merge_validation, profile_id=profile_id
        )
        return FingerprintBasis(shape, salt, declared, rules)
    return FingerprintBasis(shape, shape, order, rules)


@dataclass(frozen=True, slots=True)
class Fingerprinting:
    """How the fingerprints of a run are made.

    :param order: the positions of the mapped columns, from 1, in the order in which their values count;
        empty where that is the order of the columns.
    :param rules_changed: whether people who were refused before they were sent are tried again.
    """

    salt: str = ""
    order: tuple[int, ...] = ()
    rules_changed: bool = False

    @classmethod
    def of(
        cls, field_map: FieldMap, basis: FingerprintBasis, known: FingerprintBasis | None
    ) -> Fingerprinting:
        """Return how to make them on a basis, where the ledger's are on a known one."""
        columns = field_map.columns
        return cls(
            salt=basis.salt,
            order=tuple(columns.index(column) for column in in_order(field_map, basis.order).columns[1:]),
            rules_changed=bool(known and known.rules and known.rules != basis.rules),
        )

    @property
    def values(self) -> str:
        """The values that count, as SQL."""
        if self.order in ((), tuple(range(1, len(self.order) + 1))):
            return "fields"
        named = (f"field_{rank} := fields.field_{position}" for rank, position in enumerate(self.order, 1))
        return f"struct_pack(field_0 := fields.field_0, {', '.join(named)})"


def in_order(field_map: FieldMap, tags: Iterable[str]) -> FieldMap:
    """Return a field map with its rules in the order in which a ledger's fingerprints took them."""
    by_tag = {rule.tag: rule for rule in field_map.rules}
    return replace(field_map, rules=tuple(by_tag[tag] for tag in tags))


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value)).hexdigest()[:16]


def _shape(field_map: FieldMap, merge_fields: Mapping[str, MergeField]) -> list[object]:
    """List what makes a request of values; names of columns do not, only which value goes where."""
    canonical = in_order(field_map, sorted(rule.tag for rule in field_map.rules))
    at = {column: position for position, column in enumerate(canonical.columns)}
    return [SHAPE_VERSION, *(_rule_shape(rule, merge_fields[rule.tag], at) for rule in canonical.rules)]


def _rule_shape(rule: FieldRule, field: MergeField, at: Mapping[str, int]) -> list[object]:
    values = [at[column] for column in rule.columns]
    default = None if rule.default is None else [type(rule.default).__name__, str(rule.default)]
    return [rule.tag, field.type, values, list(rule.parts), rule.blank.value, default, _format(field)]


def _format(field: MergeField) -> object:
    """Return what of a merge field, besides its type, decides how a value is written."""
    if field.type in _TYPES_WITH_CHOICES:
        return sorted(field.choices)
    return {"phone": field.phone_format, "address": field.default_country}.get(field.type)


def _rules(
    field_map: FieldMap, merge_fields: Mapping[str, MergeField], *, skip_merge_validation: bool
) -> list[object]:
    tags = {rule.tag for rule in field_map.rules}
    required = sorted(tag for tag, field in merge_fields.items() if field.required and tag in tags)
    return [SHAPE_VERSION, skip_merge_validation, required]


def _salt_of_0_1_0(
    field_map: FieldMap,
    merge_fields: Mapping[str, MergeField],
    *,
    skip_merge_validation: bool,
    profile_id: str | None,
) -> str:
    """Return the salt of release 0.1.0, which was made of how its classes were printed; it must never change."""
    tags = {rule.tag for rule in field_map.rules}
    fields = [_printed_field(field) for tag, field in sorted(merge_fields.items()) if tag in tags]
    return _digest([_printed_map(field_map), *fields, skip_merge_validation, profile_id])


def _printed_map(field_map: FieldMap) -> str:
    printed = tuple(map(_printed_rule, field_map.rules))
    rules = ", ".join(printed) + ("," if len(printed) == 1 else "")
    return f"FieldMap(email_column={field_map.email_column!r}, rules=({rules}))"


def _printed_rule(rule: FieldRule) -> str:
    blank = f"<Blank.{rule.blank.value.upper()}: {rule.blank.value!r}>"
    return (
        f"FieldRule(tag={rule.tag!r}, columns={rule.columns!r}, parts={rule.parts!r}, "
        f"blank={blank}, default={rule.default!r})"
    )


def _printed_field(field: MergeField) -> str:
    return (
        f"MergeField(tag={field.tag!r}, name={field.name!r}, type={field.type!r}, "
        f"required={field.required!r}, choices={field.choices!r}, phone_format={field.phone_format!r}, "
        f"default_country={field.default_country!r})"
    )
