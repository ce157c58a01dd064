"""What an entry of a field map fills: a merge field today, and whatever else a member has.

A kind of target is a class and a row: a :class:`Target`, and its parser in ``TARGETS`` of ``field_map``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_mailchimp_export.fields.plain import PlainColumn
from airflow_mailchimp_export.fields.text import Convert, Sendable, WarningKind
from airflow_mailchimp_export.mailchimp.wire import Slot
from airflow_mailchimp_export.model import Audience, MergeField, Reject

if TYPE_CHECKING:
    import pyarrow as pa

MergeValue = Sendable | Reject | None


@dataclass(frozen=True, slots=True)
class Target(ABC):
    """One entry of a field map as the user wrote it, checked in itself.

    :param name: the entry's key, by which messages, warnings and fingerprints name it.
    :param columns: the source's columns that fill it.
    """

    name: str
    columns: tuple[str, ...]

    @abstractmethod
    def problems(self, audience: Audience, schema: pa.Schema | None) -> Iterator[str]:
        """Say what does not suit the audience or the source, each with its remedy.

        :param schema: the source's; ``None`` where nobody has looked at the source.
        """

    @abstractmethod
    def resolve(self, audience: Audience, schema: pa.Schema, positions: tuple[int, ...]) -> ResolvedTarget:
        """Say how it is filled; called only where there are no problems.

        :param positions: of its columns among the field map's.
        """

    @abstractmethod
    def shape(self, audience: Audience, positions: tuple[int, ...]) -> list[object]:
        """List all that shapes what is sent of its values, as JSON takes it.

        People are sent again when this changes, so nothing else belongs here: no column's name and no label.

        :param positions: of its columns among the field map's.
        """

    def is_required(self, audience: Audience) -> bool:
        """Whether a profile is rejected whose value is blank or wrong."""
        return False

    def missing(self, audience: Audience, schema: pa.Schema) -> MergeField | None:
        """Return the merge field that create_merge_fields has to create for it, where the audience lacks one."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTarget:
    """How one target is filled, of an audience and a source that are known.

    :param slot: where its values go in a member.
    :param columns: where its columns stand among :attr:`~airflow_mailchimp_export.fields.field_map.FieldMap.columns`.
    :param type: how messages name the type of its values: "number".
    :param convert: makes what is sent of a value; answers for every value whatever, and never raises.
    :param gather: makes one value of the values of several columns; ``None`` where there is one column.
    :param blank_value: what a blank becomes; ``None`` leaves it out.
    :param required: whether a value that does not fit rejects the profile.
    :param choices: the only values that it takes; empty where it takes others.
    :param plain: how SQL writes its values, as far as they are plain; ``None`` where it does not.
    """

    name: str
    slot: Slot
    columns: tuple[int, ...]
    type: str
    convert: Convert
    gather: Callable[[tuple[Any, ...]], object] | None = None
    blank_value: MergeValue = None
    required: bool = False
    choices: tuple[str, ...] = ()
    plain: PlainColumn | None = None

    def read(self, columns: Sequence[Sequence[object]]) -> Iterable[object]:
        """Take its values out of the columns of a block."""
        picked = [columns[position] for position in self.columns]
        return self.gathered(zip(*picked, strict=True)) if self.gather else picked[0]

    def gathered(self, rows: Iterable[tuple[Any, ...]]) -> Iterable[object]:
        """Make one value of the values that each row has for its columns."""
        return map(self.gather, rows) if self.gather else (value for (value,) in rows)

    def remedy(self, kind: WarningKind) -> str:
        """Say what to give instead."""
        return remedy_for(kind, self.choices)


def remedy_for(kind: WarningKind, choices: Sequence[str] = ()) -> str:
    """Say what to give instead of a wrong value.

    :param choices: the only values that are taken; empty where others are.
    """
    is_choice = kind is WarningKind.NOT_A_CHOICE and choices
    return f"Value must be one of: {', '.join(choices)}." if is_choice else kind.remedy
