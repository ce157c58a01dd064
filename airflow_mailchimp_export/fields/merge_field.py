"""A merge field as what an entry of a field map fills: ``"FNAME": "first_name"``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.columns import column_problems, kind_of, parse_column
from airflow_mailchimp_export.fields.plain import plain_column
from airflow_mailchimp_export.fields.targets import MergeValue, ResolvedTarget, Target, remedy_for
from airflow_mailchimp_export.fields.values import (
    ADDRESS_PARTS,
    REQUIRED_ADDRESS_PARTS,
    Convert,
    Narrow,
    Problem,
    converter,
    narrowed,
    zoned,
)
from airflow_mailchimp_export.mailchimp.wire import Section, Slot
from airflow_mailchimp_export.model import Audience, MergeField, Reason, Reject
from airflow_mailchimp_export.settings.names import check_keys, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

_TAG = re.compile(r"[A-Z0-9_]{1,10}")  # https://mailchimp.com/developer/marketing/docs/merge-fields/

_OPTIONS = ("column", "parts", "blank", "default")


class Blank(StrEnum):
    """What a blank value at the source does to the value that Mailchimp has."""

    KEEP = "keep"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class MergeFieldTarget(Target):
    """What fills one merge field; its name is the merge tag.

    :param columns: one column, or one for each of the parts.
    :param parts: the parts of an address that the columns hold.
    :param default: what is sent in place of a blank; ``None`` for nothing.
    """

    parts: tuple[str, ...] = ()
    blank: Blank = Blank.KEEP
    default: object = None

    def problems(self, audience: Audience, schema: pa.Schema | None) -> Iterator[str]:
        """Say what does not suit the audience's merge field or the source, where that is known."""
        field = audience.merge_fields.get(self.name)
        if field is None:
            hint = did_you_mean(self.name, audience.merge_fields)
            yield (
                f"{self.name} is no merge field of the audience{hint}: "
                "fix the tag, or set create_merge_fields=True"
            )
            return
        if self.parts and field.type != "address":
            yield f"{self.name} is of type {field.type}, which takes no parts: map one column to it"
        held = "text" if self.parts else field.type
        kinds = _FITTING_KINDS.get(held, _SCALARS)
        if schema is not None:
            yield from column_problems(self.name, self.columns, schema, kinds=kinds, of_type=held)
        default = converter(field)(self.default)
        if isinstance(default, Problem):
            remedy = remedy_for(default.kind, field.choices)
            yield f"the default of {self.name} does not fit the type {field.type}. {remedy}"

    def resolve(self, audience: Audience, schema: pa.Schema, positions: tuple[int, ...]) -> ResolvedTarget:
        """Say how the merge field is filled."""
        field, arrow = audience.merge_fields[self.name], schema.field(self.columns[0]).type
        blank_value = self._blank_value(field)
        return ResolvedTarget(
            name=self.name,
            slot=Slot(Section.MERGE_FIELDS, self.name),
            columns=positions,
            type=field.type,
            convert=_of_column(converter(field), arrow),
            gather=partial(_address, self.parts) if self.parts else None,
            blank_value=blank_value,
            required=field.required,
            choices=field.choices,
            plain=None if self.parts else plain_column(field, arrow, blank_value),
        )

    def shape(self, audience: Audience, positions: tuple[int, ...]) -> list[object]:
        """List all that shapes what is sent of its values."""
        field = audience.merge_fields[self.name]
        default = None if self.default is None else [type(self.default).__name__, str(self.default)]
        parts, blank = list(self.parts), self.blank.value
        return [self.name, field.type, list(positions), parts, blank, default, _format(field)]

    def is_required(self, audience: Audience) -> bool:
        """Whether the audience insists on the merge field."""
        return audience.merge_fields[self.name].required

    def missing(self, audience: Audience, schema: pa.Schema) -> MergeField | None:
        """Describe the merge field, named after its column and typed like it, where the audience lacks it."""
        if self.name in audience.merge_fields:
            return None
        column = self.name.lower() if self.parts else self.columns[0]
        kind = "address" if self.parts else "text"
        if not self.parts and column in schema.names:
            kind = kind_of(schema.field(column).type)
        words = column.replace("_", " ").strip() or self.name
        return MergeField(self.name, words[0].upper() + words[1:], kind if kind in _FITTING_KINDS else "text")

    def _blank_value(self, field: MergeField) -> MergeValue:
        default = converter(field)(self.default)
        if default is not None and not isinstance(default, Problem):
            return default
        if field.required:
            return Reject(Reason.REQUIRED_FIELD, self.name)
        return "" if self.blank is Blank.CLEAR else None


def _of_column(convert: Convert, arrow: pa.DataType) -> Convert:
    """Undo what became of a column's values on the way: floats are widened, and timestamps brought to UTC."""
    import pyarrow as pa

    if pa.types.is_float16(arrow):
        return narrowed(convert, Narrow.HALF)
    if pa.types.is_float32(arrow):
        return narrowed(convert, Narrow.SINGLE)
    if pa.types.is_timestamp(arrow) and arrow.tz:
        return zoned(convert, _zone(arrow.tz))
    return convert


def _zone(name: str) -> tzinfo:
    import pyarrow as pa
    from pyarrow.lib import string_to_tzinfo

    try:
        zone: tzinfo = string_to_tzinfo(name)
    except (pa.ArrowException, LookupError, ValueError) as error:
        raise ConfigError(f"A column has timestamps of the unknown time zone {name!r}: use UTC") from error
    return zone


def parse_merge_field(key: object, given: object) -> MergeFieldTarget:
    """Read an entry of a field map that fills a merge field.

    :param key: the merge tag; case makes no difference.
    :param given: a column's name; or a mapping with ``column``, or ``parts`` (the columns of an address, which
        may also stand alone), and ``blank`` ("keep" or "clear") and ``default``.
    :raises ConfigError: naming the tag that is wrong, and what it takes.
    """
    tag = _tag(key)
    if not isinstance(given, Mapping):
        return MergeFieldTarget(tag, (parse_column(tag, given),))
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
    columns = tuple(parts.values()) or (parse_column(tag, options["column"]),)
    return MergeFieldTarget(tag, columns, tuple(parts), Blank(blank), options.get("default"))


def _tag(key: object) -> str:
    tag = key.upper() if isinstance(key, str) else ""
    if not _TAG.fullmatch(tag):
        raise ConfigError(f"field_map: {key!r} is no merge tag: 1 to 10 of the letters A-Z, digits and _")
    return tag


def _parts(tag: str, given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"field_map: the parts of {tag} are no mapping: give a column for each part")
    check_keys(f"field_map: {tag}", given, allowed=ADDRESS_PARTS)
    if lacking := [part for part in REQUIRED_ADDRESS_PARTS if part not in given]:
        raise ConfigError(f"field_map: {tag} lacks {', '.join(lacking)}: an address is whole or not taken")
    return {part: parse_column(f"{part} of {tag}", column) for part, column in given.items()}


def _address(parts: tuple[str, ...], values: tuple[object, ...]) -> dict[str, object]:
    return dict(zip(parts, values, strict=True))


def _format(field: MergeField) -> object:
    """Return what of a merge field, besides its type, decides how a value is written."""
    if field.type in _TYPES_WITH_CHOICES:
        return sorted(field.choices)
    return {"phone": field.phone_format, "address": field.default_country}.get(field.type)


_TYPES_WITH_CHOICES = frozenset({"radio", "dropdown"})

_SCALARS = frozenset({"text", "number", "boolean", "date", "time"})

_FITTING_KINDS = {
    "number": {"text", "number", "boolean"},
    "date": {"text", "date"},
    "birthday": {"text", "date"},
    "phone": {"text", "number"},
    "zip": {"text", "number"},
    "url": {"text"},
    "imageurl": {"text"},
    "address": {"address"},
}
