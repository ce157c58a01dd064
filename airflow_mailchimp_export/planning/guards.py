"""What is checked before the first profile leaves. Each check raises, or lets pass."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

from airflow_mailchimp_export.counts import FieldWarning
from airflow_mailchimp_export.errors import (
    Allowance,
    AllowedRemoval,
    ConfigError,
    RemovalLimitExceeded,
    TooManyRejects,
)
from airflow_mailchimp_export.settings.approval import Approved, digest_of
from airflow_mailchimp_export.settings.form import in_form
from airflow_mailchimp_export.state.manifest import RemovalTally

log = logging.getLogger(__name__)

SEGMENT_WITHOUT_ROWS = "segment_without_rows"

NO_ROWS_REMEDY = (
    "Nothing to do if nobody is meant to be in the segment now. Otherwise correct its source, which was read "
    "and has no row."
)


@dataclass(frozen=True, slots=True)
class UsableRows:
    """How many rows a segment has, and how many of them have an address that can be sent."""

    name: str
    tag: str
    rows: int
    usable: int


def empty_segments(segments: Sequence[UsableRows]) -> tuple[FieldWarning, ...]:
    """Warn of segments without a row, in the log and for the report: their sources may have been cut short."""
    empty = [rows.name for rows in segments if not rows.rows]
    for name in empty:
        log.warning("Segment %r: %s. %s", name, SEGMENT_WITHOUT_ROWS, NO_ROWS_REMEDY)
    return tuple(FieldWarning(name, SEGMENT_WITHOUT_ROWS, 1, (), NO_ROWS_REMEDY) for name in empty)


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


def check_approved_sources(sources: Sequence[str], approved: Approved | None) -> None:
    """Stop a run whose data are not those that somebody has agreed to.

    :raises ConfigError: says so.
    """
    if approved and digest_of(sources) != approved.sources:
        raise ConfigError(
            "The segments are not those that were approved any more: they were built again since",
            "Start a new run, and let it be approved",
            nothing_sent=True,
        )


def check_segments(segments: Sequence[UsableRows], removals: Sequence[RemovalTally], *, column: str) -> None:
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
    removals: Sequence[RemovalTally],
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
    usable = {rows.tag for rows in segments if rows.usable}
    over_at = partial(_over_the_limit, removals, usable, removal_floor)
    if over := over_at(max_removal_ratio):
        least = next(percent / 100 for percent in range(101) if not over_at(percent / 100))
        allow = Allowance("max_removal_ratio", least, _let_through(removals))
        raise _too_many_removals(over, usable, max_removal_ratio, allow)


def _let_through(removals: Sequence[RemovalTally]) -> tuple[AllowedRemoval, ...]:
    return tuple(AllowedRemoval(count.tag, count.removed, count.owned) for count in removals if count.removed)


def check_approved_removals(removals: Sequence[RemovalTally], approved: Mapping[str, int]) -> None:
    """Stop a run that would remove more people than somebody has agreed to, however few.

    :param approved: by tag, how many that are; without a tag, in all.
    :raises RemovalLimitExceeded: lists what is more.
    """
    more = [count for count in removals if count.removed > approved.get(count.tag, 0)]
    if more:
        named = "; ".join(
            f"{_named(count)} {count.removed:,} people, and {approved.get(count.tag, 0):,} were approved"
            for count in more
        )
        raise RemovalLimitExceeded(
            f"More people would be removed than somebody has said yes to: {named}",
            "Start a new run, and let it be approved",
            nothing_sent=True,
        )


def _named(count: RemovalTally) -> str:
    return f"tag {count.tag!r}" if count.tag else "in all"


def _over_the_limit(
    removals: Sequence[RemovalTally],
    usable: Set[str],
    removal_floor: int,
    max_removal_ratio: float,
) -> list[RemovalTally]:
    if max_removal_ratio >= 1:
        return []
    over = [
        count
        for count in removals[1:]
        if count.removed > (max(removal_floor, max_removal_ratio * count.owned) if count.tag in usable else 0)
    ]
    total, floor = removals[0], removal_floor * sum(count.removed > 0 for count in removals[1:])
    if not over and total.removed > max(floor, max_removal_ratio * total.owned):
        over = [total]
    return over


def _too_many_removals(
    over: Sequence[RemovalTally], usable: Set[str], max_removal_ratio: float, allow: Allowance
) -> RemovalLimitExceeded:
    named = "; ".join(
        f"{_named(count)} {count.removed:,} of {count.owned:,} people "
        f"({count.ratio:.0%}{', its segment has no rows now' if count.tag and count.tag not in usable else ''})"
        for count in over
    )
    return RemovalLimitExceeded(
        f"Too many people would be removed: {named}; max_removal_ratio allows {max_removal_ratio:.0%} of each tag "
        "and of all",
        "Correct the source if people are missing there; if all of them have really left, allow it once with "
        f"max_removal_ratio={allow.value:g}{in_form('max_removal_ratio')}",
        nothing_sent=True,
        allow=allow,
    )
