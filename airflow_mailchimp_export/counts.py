"""What a run counts: its rows, each under one name, and the values that did not fit their merge fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows came to what.

    ``rows_read`` is the sum of all others but ``removed`` and ``removal_failed``, which count people
    who left. ``merged`` are further rows of a person already counted; ``not_sent`` is what a run had
    before it that was stopped before anything was sent.
    """

    rows_read: int = 0
    merged: int = 0
    rejected: int = 0
    suppressed: int = 0
    unchanged: int = 0
    created: int = 0
    updated: int = 0
    unconfirmed: int = 0
    not_sent: int = 0
    removed: int = 0
    removal_failed: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every row is under exactly one name."""
        sent = self.created + self.updated + self.unconfirmed
        kept_back = self.merged + self.rejected + self.suppressed + self.unchanged + self.not_sent
        return self.rows_read == kept_back + sent

    @property
    def people(self) -> int:
        """How many people the rows stand for; a row without a usable address counts as one."""
        return self.rows_read - self.merged

    @property
    def confirmed(self) -> int:
        """How many people are in the audience as the export wants them."""
        return self.unchanged + self.created + self.updated


@dataclass(frozen=True, slots=True)
class FieldWarning:
    """Values that did not fit a merge field: they were left out or cut, and their profiles are sent anyway.

    :param field: the merge tag.
    :param kind: what was wrong with all of them.
    :param examples: where the first few of the profiles are.
    """

    field: str
    kind: str
    count: int
    examples: tuple[str, ...]
    remedy: str

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> FieldWarning:
        """Read a warning."""
        return cls(**{**item, "examples": tuple(item["examples"])})
