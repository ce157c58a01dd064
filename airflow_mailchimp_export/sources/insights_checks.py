"""When a reading of Customer Insights lacks too many people to be used."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from airflow_mailchimp_export.customer_insights.catalog import KnownSegment
from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.insights_segments import InsightsSpec
from airflow_mailchimp_export.settings.names import did_you_mean

log = logging.getLogger(__name__)

_LIST: Final = (
    "python -m airflow_mailchimp_export.customer_insights segments CONN lists the segments with their sizes"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A segment that is to be read.

    :param name: how the export calls it.
    """

    name: str
    spec: InsightsSpec

    def allows_to_lack(self, number: int, of: int) -> bool:
        """Whether so many of its people may be missing."""
        most = self.spec.max_missing_profiles
        return number <= (most if most >= 1 else int(most * of))


def check_members(
    wanted: Sequence[Wanted],
    counts: Mapping[int, int],
    known: Mapping[str, KnownSegment],
    others: Iterable[str],
) -> None:
    """Make sure that all members can have been read.

    :param counts: how many were read, by the number of the segment.
    :param known: what Customer Insights itself keeps of segments, where that can be had.
    :param others: further segments that memberships name.
    :raises SourceError: there is nobody, or fewer than Customer Insights counts.
    """
    for number, each in enumerate(wanted):
        members, name = counts.get(number, 0), each.spec.segment
        shown = known[name].members if name in known else None
        if not (members or each.spec.may_be_empty):
            raise SourceError(
                f"Segment {each.name!r}: nobody is in segment {name!r} of Customer Insights, as far as the "
                f"connection may read{did_you_mean(name, others)}",
                f"Correct the name ({_LIST}), give the application user roles that read the whole organisation, "
                "or set may_be_empty if nobody need be in it",
            )
        if shown is not None and not each.allows_to_lack(shown - members, shown):
            raise SourceError(
                f"Segment {each.name!r}: Customer Insights counts {shown:,} members of {name!r}, and only "
                f"{members:,} can be read",
                "Move the application user to the root business unit, with roles that read the whole "
                "organisation; or wait until Customer Insights has refreshed",
            )
        told = "" if shown is None else f"; Customer Insights counts {shown:,}"
        log.info("Segment %r: %s members%s", each.name, f"{members:,}", told)


def check_missing(wanted: Sequence[Wanted], counts: Mapping[int, int], missing: Mapping[int, int]) -> None:
    """Make sure that nearly all members have a profile.

    :param missing: how many have none, by the number of the segment.
    :raises SourceError: too many have none.
    """
    for number, each in enumerate(wanted):
        members, without = counts.get(number, 0), missing.get(number, 0)
        if not each.allows_to_lack(without, members):
            raise SourceError(
                f"Segment {each.name!r}: {without:,} of {members:,} members have no profile that can be read, more "
                f"than max_missing_profiles allows ({each.spec.max_missing_profiles:g})",
                "Wait until Customer Insights has refreshed: it writes profiles beside memberships; if it has, "
                "check that the application user reads the whole organisation, or raise max_missing_profiles",
            )
        if without:
            log.warning(
                "Segment %r: %s of %s members have no profile yet, and are left out as if they were not in it",
                each.name,
                f"{without:,}",
                f"{members:,}",
            )
