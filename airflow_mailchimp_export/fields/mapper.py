"""Profiles become members: the values of each merge field, and what becomes of those that do not fit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.values import Convert, Problem, Sendable, WarningKind
from airflow_mailchimp_export.mailchimp.wire import MemberEncoder, Section, Slot
from airflow_mailchimp_export.model import Member, MemberStatus, MergeField, Reason, Reject

MAX_EXAMPLES = 5
"""Most profiles that one warning names."""

MergeValue = Sendable | Reject | None


@dataclass(frozen=True, slots=True)
class ProfileBlock:
    """Some profiles, column by column.

    :param columns: the values of :attr:`~airflow_mailchimp_export.fields.field_map.FieldMap.columns`, in that order.
    :param sources: where each profile is, for warnings to name a few; none where that is not known.
    """

    subscriber_hashes: Sequence[str]
    emails: Sequence[str]
    statuses: Sequence[str]
    tags: Sequence[Sequence[str] | None]
    columns: Sequence[Sequence[object]]
    sources: Sequence[str] = ()


def remedy_for(kind: WarningKind, field: MergeField) -> str:
    """Say what to give instead."""
    is_choice = kind is WarningKind.NOT_A_CHOICE
    return f"Value must be one of: {', '.join(field.choices)}." if is_choice else kind.remedy


@dataclass(frozen=True, slots=True)
class ResolvedField:
    """How one merge field is filled.

    :param for_blank: what a blank becomes; ``None`` leaves the field out.
    :param columns: where its columns stand among :attr:`~airflow_mailchimp_export.fields.field_map.FieldMap.columns`.
    """

    field: MergeField
    convert: Convert
    blank_value: MergeValue
    columns: tuple[int, ...]
    parts: tuple[str, ...]

    def read(self, block: ProfileBlock) -> Iterable[object]:
        """Take the values out of a block."""
        picked = [block.columns[column] for column in self.columns]
        return self.addresses(zip(*picked, strict=True)) if self.parts else picked[0]

    def addresses(self, rows: Iterable[Any]) -> Iterator[dict[str, object]]:
        """Give the values of an address the names of their parts."""
        return (dict(zip(self.parts, row, strict=True)) for row in rows)


class FieldMapper:
    """A field map that suits its audience; made by ``FieldMap.resolve``."""

    def __init__(self, fillings: Iterable[ResolvedField]) -> None:
        self._fields = {filling.field.tag: filling for filling in fillings}
        self._encoder = MemberEncoder(Slot(Section.MERGE_FIELDS, tag) for tag in self._fields)
        self._counts: Counter[tuple[str, WarningKind]] = Counter()
        self._examples: defaultdict[tuple[str, WarningKind], list[str]] = defaultdict(list)

    @property
    def warnings(self) -> tuple[FieldWarning, ...]:
        """What was left out or cut so far."""
        return tuple(
            FieldWarning(tag, kind, count, (*self._examples[tag, kind],), self._remedy(tag, kind))
            for (tag, kind), count in self._counts.items()
        )

    def check_column(self, tag: str, values: Iterable[object]) -> None:
        """Read values until one fits the merge field.

        :param values: of the tag's column; of an address in parts a tuple for each profile, one value a part.
        :raises ConfigError: there are values, and none fits; mend the column, or map another one.
        """
        filling, problem = self._fields[tag], None
        for converted in map(filling.convert, filling.addresses(values) if filling.parts else values):
            if isinstance(converted, Problem) and converted.instead is None:
                problem = converted
            elif converted is not None:
                return
        if problem:
            message = f"no value of the column for {tag} fits the type {filling.field.type}"
            raise ConfigError(f"{message}. {self._remedy(tag, problem.kind)}")

    def to_members(self, block: ProfileBlock) -> Iterator[Member | Reject]:
        """Make each profile a member, in order, or a reject where a required field is blank or wrong."""
        rejects: dict[int, Reject] = {}
        encode = self._encoder.encode
        filled = [self._fill(filling, block, rejects) for filling in self._fields.values()]
        rows = zip(*filled, strict=True) if filled else repeat((), len(block.emails))
        people = zip(block.subscriber_hashes, block.emails, block.statuses, block.tags, rows, strict=True)
        for row, (key, email, status, segments, values) in enumerate(people):
            if row in rejects:
                yield rejects[row]
                continue
            yield Member(key, email, _STATUSES[status], encode(email, status, values, segments))

    def _fill(self, filling: ResolvedField, block: ProfileBlock, rejects: dict[int, Reject]) -> list[object]:
        """Convert one merge field's values; ``None`` is left out of the payload."""
        sent: list[object] = [*map(filling.convert, filling.read(block))]
        for row, value in enumerate(sent):
            if value is None or isinstance(value, Problem):
                sent[row] = settled = self._finalize(filling, value, block.sources[row : row + 1])
                if isinstance(settled, Reject):
                    rejects.setdefault(row, settled)
        return sent

    def _finalize(self, filling: ResolvedField, value: Problem | None, source: Sequence[str]) -> MergeValue:
        if value is None:
            return filling.blank_value
        if value.instead is None and filling.field.required:
            return Reject(Reason.INVALID_FIELD, filling.field.tag)
        key = filling.field.tag, value.kind
        self._counts[key] += 1
        if len(self._examples[key]) < MAX_EXAMPLES:
            self._examples[key] += source
        return value.instead

    def _remedy(self, tag: str, kind: WarningKind) -> str:
        return remedy_for(kind, self._fields[tag].field)


_STATUSES: dict[str, MemberStatus] = {status.value: status for status in MemberStatus}
