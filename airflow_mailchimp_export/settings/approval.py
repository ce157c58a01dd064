"""What somebody has agreed to: a previewed export sends the same data, and removes no more than was shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow_mailchimp_export.settings.coercion import InvalidValue, is_blank, mapping
from airflow_mailchimp_export.settings.identities import of_any_reading


class ApprovalMode(StrEnum):
    """When an export asks for somebody's yes."""

    ALWAYS = "always"
    ABOVE_REMOVAL_RATIO = "above_removal_ratio"
    FIRST_RUN = "first_run"


@dataclass(frozen=True, slots=True)
class Approved:
    """What was agreed to.

    :param sources: what stands for the data of all segments, as they were when they were previewed.
    :param removals: by tag, how many people lose it; under the empty name, how many people lose any.
    """

    sources: str
    removals: Mapping[str, int]

    def to_value(self) -> dict[str, Any]:
        """Return it as one task hands it to another."""
        return asdict(self)


def digest_of(sources: Iterable[str]) -> str:
    """Return what stands for the data of all segments.

    Of data that do not tell whether they have changed it stands for what is read; the removals are all that limits a
    yes there.

    :param sources: what identifies the data of each, as their storage tells it.
    """
    return hashlib.sha256("\n".join(map(of_any_reading, sources)).encode()).hexdigest()[:16]


def parse_approved(value: object) -> Approved | None:
    """Read what a task hands over; ``None`` where nobody was asked.

    :raises InvalidValue: when it is something else.
    """
    if is_blank(value):
        return None
    given = mapping(value)
    if not given:
        return None
    sources, removals = given.get("sources"), given.get("removals")
    if not isinstance(sources, str) or not isinstance(removals, Mapping):
        raise InvalidValue("what the task that asked for approval returned")
    return Approved(sources, {str(tag): int(people) for tag, people in removals.items()})
