"""Profiles become members: the values of each target, and what becomes of those that do not fit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.targets import MergeValue, ResolvedTarget
from airflow_mailchimp_export.fields.text import Problem, WarningKind
from airflow_mailchimp_export.fields.values import is_akin
from airflow_mailchimp_export.mailchimp.wire import MemberEncoder
from airflow_mailchimp_export.model import Member, MemberStatus, Reason, Reject

MAX_EXAMPLES = 5
"""Most profiles that one warning names."""

ENOUGH_TO_JUDGE = 50
"""Fewest values that tell a wrong column from some wrong profiles."""


@dataclass(frozen=True, slots=True)
class ProfileBlock:
    """Some profiles, column by column.

    :param columns: the values of :attr:`~airflow_mailchimp_export.fields.field_map.FieldMap.columns`, in that order.
    :param sources: where each profile is, for warnings to name a few; none where that is not known.
    :param null_words: the rows in which a column had a word for nothing, by its position.
    """

    subscriber_hashes: Sequence[str]
    emails: Sequence[str]
    statuses: Sequence[str]
    tags: Sequence[Sequence[str] | None]
    columns: Sequence[Sequence[object]]
    sources: Sequence[str] = ()
    null_words: Mapping[int, Sequence[int]] = field(default_factory=dict)


class FieldMapper:
    """A field map that suits its audience; made by ``FieldMap.resolve``."""

    def __init__(self, targets: Iterable[ResolvedTarget]) -> None:
        self._targets = {target.name: target for target in targets}
        self._encoder = MemberEncoder(target.slot for target in self._targets.values())
        self._counts: Counter[tuple[str, WarningKind]] = Counter()
        self._examples: defaultdict[tuple[str, WarningKind], list[str]] = defaultdict(list)

    @property
    def warnings(self) -> tuple[FieldWarning, ...]:
        """What was left out or cut so far."""
        return tuple(
            FieldWarning(name, kind, count, (*self._examples[name, kind],), self._targets[name].remedy(kind))
            for (name, kind), count in self._counts.items()
        )

    @property
    def day_columns(self) -> dict[int, bool]:
        """Where the columns stand that fill dates and birthdays, each with whether these may lack a year."""
        birthdays = self._columns_of("birthday")
        return {column: column in birthdays for column in sorted(birthdays | self._columns_of("date"))}

    @property
    def number_columns(self) -> frozenset[int]:
        """Where the columns stand that fill numbers."""
        return self._columns_of("number")

    def _columns_of(self, kind: str) -> frozenset[int]:
        targets = (target for target in self._targets.values() if target.type == kind)
        return frozenset(column for target in targets for column in target.columns)

    def check_column(
        self, name: str, rows: Iterable[tuple[Any, ...]], where: Callable[[], str] = lambda: ""
    ) -> None:
        """Read values until one fits the target, or is such as the target takes but for what is wrong with it.

        :param rows: for each profile the values of the target's columns.
        :param where: says where one of the values is.
        :raises ConfigError: there are :data:`ENOUGH_TO_JUDGE` values or more, and all are something else; fix the
            column, or map another one.
        """
        target, problem, wrong = self._targets[name], None, 0
        for value in target.gathered(rows):
            converted = target.convert(value)
            if converted is None:
                continue
            if not isinstance(converted, Problem) or converted.instead is not None:
                return
            if is_akin(value, converted.kind):
                return
            problem, wrong = converted, wrong + 1
        if problem and wrong >= ENOUGH_TO_JUDGE:
            message = f"no value of the column for {name} fits the type {target.type}{where()}"
            raise ConfigError(message, target.remedy(problem.kind))

    def to_members(self, block: ProfileBlock) -> Iterator[Member | Reject]:
        """Make each profile a member, in order, or a reject where a required value is blank or wrong."""
        rejects: dict[int, Reject] = {}
        encode = self._encoder.encode
        filled = [self._fill(target, block, rejects) for target in self._targets.values()]
        rows = zip(*filled, strict=True) if filled else repeat((), len(block.emails))
        people = zip(block.subscriber_hashes, block.emails, block.statuses, block.tags, rows, strict=True)
        for row, (key, email, status, tags, values) in enumerate(people):
            if row in rejects:
                yield rejects[row]
            else:
                yield Member(key, email, _STATUSES[status], encode(email, status, values, tags))

    def member_sql(self, column: Callable[[int], str], *, email: str, status: str, tail: str) -> str | None:
        """Return SQL that writes the member of a plain profile, and null for others; ``None`` where there is none.

        :param column: returns a column as SQL, by its position.
        :param email: SQL of an address that can be sent.
        :param status: SQL of a status.
        :param tail: SQL of the end of a member, see :meth:`MemberEncoder.tail`.
        """
        tests, values = [], []
        for target in self._targets.values():
            if target.plain is None:
                return None
            value = column(target.columns[0])
            tests.append(target.plain.test(value))
            values.append(target.plain.json(value))
        member = self._encoder.in_sql(email, status, values, tail)
        return member and f"CASE WHEN {' AND '.join(tests) or 'true'} THEN {member} END"

    def _fill(self, target: ResolvedTarget, block: ProfileBlock, rejects: dict[int, Reject]) -> list[object]:
        """Convert one target's values; ``None`` is left out of the member."""
        sent: list[object] = [*map(target.convert, target.read(block.columns))]
        for column in target.columns:
            for row in block.null_words.get(column, ()):
                self._warn((target.name, WarningKind.NULL_WORD), block.sources[row : row + 1])
        for row, value in enumerate(sent):
            if value is None or isinstance(value, Problem):
                sent[row] = final = self._finalize(target, value, block.sources[row : row + 1])
                if isinstance(final, Reject):
                    rejects.setdefault(row, final)
        return sent

    def _finalize(self, target: ResolvedTarget, value: Problem | None, source: Sequence[str]) -> MergeValue:
        if value is None:
            return target.blank_value
        if value.instead is None and target.required:
            return Reject(Reason.INVALID_FIELD, target.name)
        self._warn((target.name, value.kind), source)
        return value.instead

    def _warn(self, key: tuple[str, WarningKind], source: Sequence[str]) -> None:
        self._counts[key] += 1
        if len(self._examples[key]) < MAX_EXAMPLES:
            self._examples[key] += source


_STATUSES: dict[str, MemberStatus] = {status.value: status for status in MemberStatus}
