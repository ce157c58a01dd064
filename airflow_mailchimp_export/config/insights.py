"""Segments of Customer Insights, as keys of a configuration: the same as the segments of the operator have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import Field

from airflow_mailchimp_export.config.mistakes import Problem, problem_of
from airflow_mailchimp_export.config.profiles import NAME, Files, plain
from airflow_mailchimp_export.config.values import Line
from airflow_mailchimp_export.settings.insights_segments import ProfileRead
from airflow_mailchimp_export.settings.segments import parse_segments

_OWN = ("max_missing_profiles", "profile_read", "may_be_empty", "max_age")


class InsightsSegment(Files):
    """Which segment of Customer Insights it is, where it is one."""

    segment: Line | None = Field(
        default=None,
        description="in place of a rule, the output table of a segment of Customer Insights, to which conn_id leads, "
        "or whose file export is in uri",
    )
    max_missing_profiles: Any = Field(
        default=None,
        description="members who may lack a profile: below 1 a share of them, else their number",
        json_schema_extra={"type": "number", "minimum": 0},
    )
    profile_read: Any = Field(
        default=None,
        description="whether profiles are asked for by id, or all are read",
        json_schema_extra={"enum": [*ProfileRead]},
    )
    may_be_empty: Any = Field(
        default=None,
        description="whether a segment without members is one",
        json_schema_extra={"type": "boolean"},
    )
    max_age: Any = Field(
        default=None,
        description="how old the file export may be, such as 26h",
        json_schema_extra={"type": "string"},
    )

    def _problems_of_files(self) -> Iterator[Problem]:
        if self.segment:
            yield from problem_of((), lambda: parse_segments({NAME: self.given}), plain=plain)
            return
        for name in _OWN:
            if getattr(self, name) is not None:
                yield Problem(
                    (name,), "is for a segment of Customer Insights: name it with segment, or remove it"
                )
        yield from super()._problems_of_files()

    @property
    def given(self) -> dict[str, Any]:
        """The keys that say where the profiles are, as the operator takes them."""
        own = {key: getattr(self, key) for key in ("segment", *_OWN) if getattr(self, key) is not None}
        return super().given | own


def problems_of_insights(
    chosen: Collection[str],
    segments: Mapping[str, InsightsSegment],
    *,
    starts_with_refresh: bool,
    waits: bool,
) -> Iterator[Problem]:
    """Yield what is wrong with an export because its segments are, or are not, of Customer Insights.

    :param chosen: the keys of the export's segments.
    :param starts_with_refresh: whether it runs with the refresh of the segments that are built here.
    :param waits: whether it waits for Customer Insights.
    """
    known = [key for key in chosen if key in segments]
    of_insights = [key for key in known if segments[key].segment]
    if not of_insights:
        if waits:
            yield Problem(
                ("refreshed_within",), "waits for Customer Insights, and no segment is of it: remove it"
            )
        return
    if len(of_insights) < len(known):
        yield Problem(
            ("segments",),
            "names segments of Customer Insights beside others, whose columns are called otherwise: export them apart",
        )
    if starts_with_refresh:
        yield Problem(
            ("schedule",),
            "is with_refresh, which builds no segment of Customer Insights: set a preset, a cron expression or by_hand",
        )
