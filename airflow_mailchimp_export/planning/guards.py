"""What is checked before the first profile leaves. Each check raises, or lets pass."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

from airflow_mailchimp_export.errors import ConfigError, RemovalLimitExceeded, TooManyRejects
from airflow_mailchimp_export.settings.form import in_form


@dataclass(frozen=True, slots=True)
class RemovalCount:
    """How many people lose a tag, of how many who have it by this export; without a tag, of all."""

    tag: str
    removed: int
    owned: int

    @property
    def ratio(self) -> float:
        """The part that is removed."""
        return self.removed / self.owned if self.owned else float(self.removed > 0)


@dataclass(frozen=True, slots=True)
class UsableRows:
    """How many rows a segment has, and how many of them have an address that can be sent."""

    name: str
    tag: str
    rows: int
    usable: int


def check_volume(rows: int, *, max_profiles: int) -> None:
    """Stop an export that is larger than its owner expects.

    :raises ConfigError: says how many there are and what to do.
    """
    if rows > max_profiles:
        raise ConfigError(
            f"The segments hold {rows:,} profiles, but max_profiles is {max_profiles:,}",
            "Raise max_profiles in options if all of them are meant, or narrow the segments",
            nothing_sent=True,
        )


def check_contract(present: int, new: int, *, contact_limit: int | None) -> None:
    """Stop an export that would go past the contract's number of contacts.

    :raises ConfigError: says how many there would be and what to do.
    """
    if contact_limit is not None and present + new > contact_limit:
        raise ConfigError(
            f"The audience holds {present:,} contacts and {new:,} would be new, which is more than the "
            f"contact_limit of {contact_limit:,}",
            "Extend the contract and raise Contact limit (contact_limit) in the connection, archive contacts in "
            "Mailchimp, or narrow the segments",
            nothing_sent=True,
        )


def check_rejects(rejected: int, people: int, *, max_reject_ratio: float) -> None:
    """Stop an export most of which cannot be sent: its field map or its source is likely wrong.

    :raises TooManyRejects: says how many there are and where they are listed.
    """
    if rejected > max_reject_ratio * people:
        raise TooManyRejects(
            f"{rejected:,} of {people:,} profiles cannot be sent, which is more than max_reject_ratio allows "
            f"({max_reject_ratio:.0%})",
            "The run's rejects.csv lists them with reason and remedy; correct the source or the field map, or raise "
            "max_reject_ratio in options",
            nothing_sent=True,
        )


def check_segments(segments: Sequence[UsableRows], removals: Sequence[RemovalCount], *, column: str) -> None:
    """Stop an export that would take a tag from everybody because no row of its segment has a usable address.

    The rows are there, so the people have not left: the wrong column is mapped, or the source is broken.

    :param column: the source's column of the address.
    :raises ConfigError: names segment, column and number of rows.
    """
    carried = {count.tag for count in removals if count.owned}
    broken = [rows for rows in segments if rows.rows and not rows.usable and rows.tag in carried]
    if broken:
        named = "; ".join(f"segment {rows.name!r}: {rows.rows:,} rows" for rows in broken)
        raise ConfigError(
            f"No row has a usable address in column {column!r} ({named}), though people carry the segment's tag",
            "Map EMAIL to the column that holds the addresses, or correct the source",
            nothing_sent=True,
        )


def check_removals(
    removals: Sequence[RemovalCount],
    segments: Sequence[UsableRows],
    *,
    max_removal_ratio: float,
    removal_floor: int,
) -> None:
    """Stop a run that would remove suspiciously many people from a tag, or in all: a source is likely broken.

    :param removals: first over all tags, then for each tag.
    :param max_removal_ratio: the part of the people that may be removed; 1 allows everything.
    :param removal_floor: so many people of each tag may always be removed, unless its segment is empty.
    :raises RemovalLimitExceeded: lists what is over the limit, and how to allow it once.
    """
    if max_removal_ratio >= 1:
        return
    usable = {rows.tag for rows in segments if rows.usable}
    over = [
        count
        for count in removals[1:]
        if count.removed > (max(removal_floor, max_removal_ratio * count.owned) if count.tag in usable else 0)
    ]
    total, floor = removals[0], removal_floor * sum(count.removed > 0 for count in removals[1:])
    if not over and total.removed > max(floor, max_removal_ratio * total.owned):
        over = [total]
    if over:
        raise _over_the_limit(over, usable, max_removal_ratio)


def _over_the_limit(
    over: Sequence[RemovalCount], usable: Set[str], max_removal_ratio: float
) -> RemovalLimitExceeded:
    named = "; ".join(
        f"{'tag ' + repr(count.tag) if count.tag else 'in all'} {count.removed:,} of {count.owned:,} people "
        f"({count.ratio:.0%}{', its segment has no rows now' if count.tag and count.tag not in usable else ''})"
        for count in over
    )
    needed = max(1.0 if count.tag and count.tag not in usable else count.ratio for count in over)
    return RemovalLimitExceeded(
        f"Too many people would be removed: {named}; max_removal_ratio allows {max_removal_ratio:.0%} of each tag "
        "and of all",
        "Correct the source if people are missing there; if all of them have really left, allow it once with "
        f"max_removal_ratio={min(1.0, math.ceil(needed * 100) / 100):g}{in_form('max_removal_ratio')}",
        nothing_sent=True,
    )
