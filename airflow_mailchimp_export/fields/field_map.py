"""Profiles become members: what fills which merge field, and what becomes of values that do not fit.

::

    parse_field_map({"EMAIL": "email", ...})   the definition, checked in itself
      .missing(audience, schema)               what create_merge_fields has to create
      .resolve(audience, schema)               checked against audience and source, before anything is sent
        .check_column(name, rows)              a column of which no value fits stops the run
        .to_members(block)                     a member or a reject for each profile
        .warnings                              what was left out or cut
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.columns import column_problems, parse_column
from airflow_mailchimp_export.fields.mapper import FieldMapper
from airflow_mailchimp_export.fields.merge_field import parse_merge_field
from airflow_mailchimp_export.fields.targets import Target
from airflow_mailchimp_export.model import Audience, MergeField
from airflow_mailchimp_export.settings.coercion import from_json, parse_setting

if TYPE_CHECKING:
    import pyarrow as pa

TARGETS: Final[Mapping[str, Callable[[str, object], Target]]] = {"": parse_merge_field}
"""What parses an entry of a field map, by what stands before the colon of its key; merge tags have no colon.

A parser gets the whole key and what was given for it.
"""

_EMAIL = "EMAIL"


def parse_field_map(
    value: object, targets: Mapping[str, Callable[[str, object], Target]] = TARGETS
) -> FieldMap:
    """Read a field map as the user wrote it.

    :param value: for each merge tag a column's name; or a mapping with ``column``, or ``parts`` (the columns
        of an address, which may also stand alone), and ``blank`` ("keep" or "clear") and ``default``.
        ``EMAIL`` is required and takes a column's name. It may be JSON text.
    :param targets: the kinds of target that an entry may fill.
    :raises ConfigError: naming the tag that is wrong, and what it takes.
    """
    value = parse_setting("field_map", value, from_json)
    if not isinstance(value, Mapping):
        raise ConfigError('field_map is no mapping: give merge tags and columns, like {"EMAIL": "email"}')
    emails = [given for key, given in value.items() if _is_email(key)]
    parsed = [_target(key, given, targets) for key, given in value.items() if not _is_email(key)]
    times = Counter([_EMAIL] * len(emails) + [target.name for target in parsed])
    if twice := [name for name in times if times[name] > 1]:
        raise ConfigError(
            f"field_map: {', '.join(twice)} stands there twice (case makes no difference): remove one"
        )
    return FieldMap(parse_column(_EMAIL, emails[0] if emails else None), tuple(parsed))


def _is_email(key: object) -> bool:
    return isinstance(key, str) and key.upper() == _EMAIL


def _target(key: str, given: object, targets: Mapping[str, Callable[[str, object], Target]]) -> Target:
    kind, colon, _ = str(key).partition(":")
    return targets.get(kind if colon else "", targets[""])(key, given)


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The definition, before the audience is known; made by :func:`parse_field_map`."""

    email_column: str
    targets: tuple[Target, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed of the source, each once, the address's first."""
        mapped = (column for target in self.targets for column in target.columns)
        return tuple(dict.fromkeys((self.email_column, *mapped)))

    def positions(self, target: Target) -> tuple[int, ...]:
        """Return where the columns of a target stand among :attr:`columns`."""
        return tuple(map(self.columns.index, target.columns))

    def missing(self, audience: Audience, schema: pa.Schema) -> tuple[MergeField, ...]:
        """Describe the merge fields that the audience lacks; the type is guessed from the column's.

        :param schema: the source's.
        """
        fields = (target.missing(audience, schema) for target in self.targets)
        return tuple(field for field in fields if field)

    def resolve(
        self, audience: Audience, schema: pa.Schema, *, skip_merge_validation: bool = False
    ) -> FieldMapper:
        """Check the map against the audience and the source.

        :param schema: the source's.
        :param skip_merge_validation: let required merge fields be left out.
        :raises ConfigError: listing all that does not fit, and the audience's merge fields; fix the map.
        """
        if skip_merge_validation:
            audience = _without_required(audience)
        if problems := [*self._problems(audience, schema)]:
            known = ", ".join(
                f'{field.tag} "{field.name}" ({field.type})' for field in audience.merge_fields.values()
            )
            message = "\n- ".join(["the field map does not suit the audience or the source:", *problems])
            raise ConfigError(f"{message}\nThe audience's merge fields: {known or 'none'}.")
        return FieldMapper(
            target.resolve(audience, schema, self.positions(target)) for target in self.targets
        )

    def audience_problems(
        self, audience: Audience, *, skip_merge_validation: bool = False, create_merge_fields: bool = False
    ) -> list[str]:
        """Say what does not suit the audience, for who does not know the source.

        :param skip_merge_validation: let required merge fields be left out.
        :param create_merge_fields: let merge fields be missing that would be created.
        """
        known = [target for target in self.targets if target.name in audience.merge_fields]
        held = replace(self, targets=tuple(known)) if create_merge_fields else self
        return [
            *held._problems(_without_required(audience) if skip_merge_validation else audience, schema=None)
        ]

    def _problems(self, audience: Audience, schema: pa.Schema | None) -> Iterator[str]:
        if schema is not None:
            yield from column_problems(_EMAIL, (self.email_column,), schema, kinds=("text",), of_type="email")
        for target in self.targets:
            yield from target.problems(audience, schema)
        filled = {target.name for target in self.targets}
        for tag in sorted(audience.merge_fields.keys() - filled):
            if audience.merge_fields[tag].required:
                yield (
                    f"{tag} is required by the audience: "
                    "map a column to it, or set skip_merge_validation=True"
                )


def _without_required(audience: Audience) -> Audience:
    fields = {tag: replace(field, required=False) for tag, field in audience.merge_fields.items()}
    return replace(audience, merge_fields=fields)
