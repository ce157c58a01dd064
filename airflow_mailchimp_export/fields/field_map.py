"""Profiles become members: what fills which merge field, and what becomes of values that do not fit.

::

    parse_field_map({"EMAIL": "email", ...})   the definition, checked in itself
      .missing(merge_fields, schema)           what create_merge_fields has to create
      .resolve(merge_fields, schema)           checked against audience and source, before anything is sent
        .check_column(tag, values)             a column of which no value fits stops the run
        .to_members(block)                     a member or a reject for each profile
        .warnings                              what was left out or cut
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import pyarrow as pa

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.mapper import (
    FieldMapper,
    MergeValue,
    ProfileBlock,
    ResolvedField,
    remedy_for,
)
from airflow_mailchimp_export.fields.values import (
    ADDRESS_PARTS,
    REQUIRED_ADDRESS_PARTS,
    Problem,
    converter,
    narrowed,
)
from airflow_mailchimp_export.model import MergeField, Reason, Reject
from airflow_mailchimp_export.settings.coercion import from_json, parse_setting
from airflow_mailchimp_export.settings.names import check_keys, did_you_mean

__all__ = [
    "Blank",
    "FieldMap",
    "FieldMapper",
    "FieldRule",
    "MergeValue",
    "ProfileBlock",
    "ResolvedField",
    "parse_field_map",
    "remedy_for",
]

_TAG = re.compile(r"[A-Z0-9_]{1,10}")  # https://mailchimp.com/developer/marketing/docs/merge-fields/

_OPTIONS = ("column", "parts", "blank", "default")


class Blank(StrEnum):
    """What a blank value at the source does to the value that Mailchimp has."""

    KEEP = "keep"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What fills one merge field.

    :param columns: one column, or one for each of the parts.
    :param parts: the parts of an address that the columns hold.
    :param default: what is sent in place of a blank; ``None`` for nothing.
    """

    tag: str
    columns: tuple[str, ...]
    parts: tuple[str, ...] = ()
    blank: Blank = Blank.KEEP
    default: object = None


def parse_field_map(value: object) -> FieldMap:
    """Read a field map as the user wrote it.

    :param value: for each merge tag a column's name; or a mapping with ``column``, or ``parts`` (the columns
        of an address, which may also stand alone), and ``blank`` ("keep" or "clear") and ``default``.
        ``EMAIL`` is required and takes a column's name. It may be JSON text.
    :raises ConfigError: naming the tag that is wrong, and what it takes.
    """
    value = parse_setting("field_map", value, from_json)
    if not isinstance(value, Mapping):
        raise ConfigError('field_map is no mapping: give merge tags and columns, like {"EMAIL": "email"}')
    entries: dict[str, object] = {}
    for key, given in value.items():
        tag = _tag(key)
        if tag in entries:
            raise ConfigError(f"field_map: {tag} stands there twice (case makes no difference): remove one")
        entries[tag] = given
    email_column = _column("EMAIL", entries.pop("EMAIL", None))
    return FieldMap(email_column, tuple(_rule(tag, given) for tag, given in entries.items()))


def _tag(key: object) -> str:
    tag = key.upper() if isinstance(key, str) else ""
    if not _TAG.fullmatch(tag):
        raise ConfigError(f"field_map: {key!r} is no merge tag: 1 to 10 of the letters A-Z, digits and _")
    return tag


def _rule(tag: str, given: object) -> FieldRule:
    if not isinstance(given, Mapping):
        return FieldRule(tag, (_column(tag, given),))
    only_parts = given.keys() & set(ADDRESS_PARTS) and not given.keys() & set(_OPTIONS)
    options = {"parts": given} if only_parts else given
    check_keys(f"field_map: {tag}", options, allowed=_OPTIONS)
    if ("column" in options) == ("parts" in options):
        raise ConfigError(f"field_map: {tag} needs either 'column' or 'parts'")
    blank = options.get("blank", Blank.KEEP)
    if blank not in tuple(Blank):
        raise ConfigError(
            f"field_map: blank of {tag} is neither 'keep' nor 'clear'{did_you_mean(blank, Blank)}"
        )
    parts = _parts(tag, options["parts"]) if "parts" in options else {}
    columns = tuple(parts.values()) or (_column(tag, options["column"]),)
    return FieldRule(tag, columns, tuple(parts), Blank(blank), options.get("default"))


def _parts(tag: str, given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"field_map: the parts of {tag} are no mapping: give a column for each part")
    check_keys(f"field_map: {tag}", given, allowed=ADDRESS_PARTS)
    if lacking := [part for part in REQUIRED_ADDRESS_PARTS if part not in given]:
        raise ConfigError(f"field_map: {tag} lacks {', '.join(lacking)}: an address is whole or not taken")
    return {part: _column(f"{part} of {tag}", column) for part, column in given.items()}


def _column(where: str, given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ConfigError(f"field_map: {where} needs the name of a source column")
    return given


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The definition, before the audience is known; made by :func:`parse_field_map`."""

    email_column: str
    rules: tuple[FieldRule, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed of the source, each once, the address's first."""
        mapped = (column for rule in self.rules for column in rule.columns)
        return tuple(dict.fromkeys((self.email_column, *mapped)))

    def missing(self, merge_fields: Mapping[str, MergeField], schema: pa.Schema) -> tuple[MergeField, ...]:
        """Describe the merge fields that the audience lacks; the type is guessed from the column's.

        :param merge_fields: the audience's, by tag.
        :param schema: the source's.
        """
        return tuple(_new_field(rule, schema) for rule in self.rules if rule.tag not in merge_fields)

    def resolve(
        self,
        merge_fields: Mapping[str, MergeField],
        schema: pa.Schema,
        *,
        skip_merge_validation: bool = False,
    ) -> FieldMapper:
        """Check the map against the audience and the source.

        :param merge_fields: the audience's, by tag.
        :param schema: the source's.
        :param skip_merge_validation: let required merge fields be left out.
        :raises ConfigError: listing all that does not fit, and the audience's merge fields; mend the map.
        """
        if skip_merge_validation:
            merge_fields = {tag: replace(field, required=False) for tag, field in merge_fields.items()}
        if problems := [*self._problems(merge_fields, schema)]:
            known = ", ".join(f'{field.tag} "{field.name}" ({field.type})' for field in merge_fields.values())
            message = "\n- ".join(["the field map does not suit the audience or the source:", *problems])
            raise ConfigError(f"{message}\nThe audience's merge fields: {known or 'none'}.")
        return FieldMapper(self._resolved(rule, merge_fields[rule.tag], schema) for rule in self.rules)

    def _resolved(self, rule: FieldRule, field: MergeField, schema: pa.Schema) -> ResolvedField:
        convert, arrow = converter(field), schema.field(rule.columns[0]).type
        default = convert(rule.default)
        blank_value: MergeValue = "" if rule.blank is Blank.CLEAR else None
        if default is not None and not isinstance(default, Problem):
            blank_value = default
        elif field.required:
            blank_value = Reject(Reason.REQUIRED_FIELD, field.tag)
        return ResolvedField(
            field=field,
            convert=narrowed(convert, arrow.to_pandas_dtype()) if arrow in _NARROW else convert,
            blank_value=blank_value,
            columns=tuple(map(self.columns.index, rule.columns)),
            parts=rule.parts,
        )

    def _problems(self, merge_fields: Mapping[str, MergeField], schema: pa.Schema) -> Iterator[str]:
        yield from _column_problems(FieldRule("EMAIL", (self.email_column,)), "email", schema)
        for rule in self.rules:
            if rule.tag in merge_fields:
                yield from _rule_problems(rule, merge_fields[rule.tag], schema)
            else:
                message = (
                    f"{rule.tag} is no merge field of the audience{did_you_mean(rule.tag, merge_fields)}"
                )
                yield f"{message}: mend the tag, or set create_merge_fields=True"
        unfilled = merge_fields.keys() - {rule.tag for rule in self.rules}
        for tag in (tag for tag in sorted(unfilled) if merge_fields[tag].required):
            yield f"{tag} is required by the audience: map a column to it, or set skip_merge_validation=True"


def _rule_problems(rule: FieldRule, field: MergeField, schema: pa.Schema) -> Iterator[str]:
    if rule.parts and field.type != "address":
        yield f"{rule.tag} is of type {field.type}, which takes no parts: map one column to it"
    yield from _column_problems(rule, "text" if rule.parts else field.type, schema)
    default = converter(field)(rule.default)
    if isinstance(default, Problem):
        remedy = remedy_for(default.kind, field)
        yield f"the default of {rule.tag} does not fit the type {field.type}. {remedy}"


def _column_problems(rule: FieldRule, merge_type: str, schema: pa.Schema) -> Iterator[str]:
    for column in rule.columns:
        if column not in schema.names:
            message = (
                f"the source has no column {column!r} for {rule.tag}{did_you_mean(column, schema.names)}"
            )
            yield f"{message}; it has {', '.join(schema.names)}"
        elif not _can_fit(arrow := schema.field(column).type, merge_type):
            yield f"column {column!r} of type {arrow} can never fill {rule.tag} of type {merge_type}"


_NARROW = (pa.float16(), pa.float32())

_SCALARS = frozenset({"text", "number", "boolean", "date", "time"})

_FITTING_KINDS = {
    "email": {"text"},
    "number": {"text", "number", "boolean"},
    "date": {"text", "date"},
    "birthday": {"text", "date"},
    "phone": {"text", "number"},
    "zip": {"text", "number"},
    "url": {"text"},
    "imageurl": {"text"},
    "address": {"address"},
}

_KINDS = {
    "null": (pa.types.is_null,),
    "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    "boolean": (pa.types.is_boolean,),
    "date": (pa.types.is_date, pa.types.is_timestamp),
    "time": (pa.types.is_time,),
}


def _can_fit(arrow: pa.DataType, merge_type: str) -> bool:
    kind = _kind(arrow)
    return kind == "null" or kind in _FITTING_KINDS.get(merge_type, _SCALARS)


def _kind(arrow: pa.DataType) -> str:
    if pa.types.is_dictionary(arrow) or pa.types.is_run_end_encoded(arrow):
        return _kind(arrow.value_type)
    if isinstance(arrow, pa.BaseExtensionType):
        return "text" if arrow.extension_name == "arrow.uuid" else _kind(arrow.storage_type)
    if pa.types.is_struct(arrow):
        return "address" if {part.name for part in arrow}.issuperset(REQUIRED_ADDRESS_PARTS) else "struct"
    return next((kind for kind, tests in _KINDS.items() if any(test(arrow) for test in tests)), "other")


def _new_field(rule: FieldRule, schema: pa.Schema) -> MergeField:
    column = rule.tag.lower() if rule.parts else rule.columns[0]
    kind = "address" if rule.parts else "text"
    if not rule.parts and column in schema.names:
        kind = _kind(schema.field(column).type)
    words = column.replace("_", " ").strip() or rule.tag
    return MergeField(rule.tag, words[0].upper() + words[1:], kind if kind in _FITTING_KINDS else "text")
