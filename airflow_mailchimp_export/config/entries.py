"""The entries of a configuration: a segment, the refresh, an export."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final, Self

from pydantic import Field, model_validator

from airflow_mailchimp_export.config.alerts import OF_ANY_RUN
from airflow_mailchimp_export.config.calling import Http
from airflow_mailchimp_export.config.entry import Entry
from airflow_mailchimp_export.config.insights import InsightsSegment
from airflow_mailchimp_export.config.mistakes import Problem, Problems, problem_of
from airflow_mailchimp_export.config.values import (
    WITH_REFRESH,
    Alerts,
    ApprovalWord,
    AudienceId,
    Column,
    Connections,
    Count,
    DeliveryWord,
    Fields,
    FirstName,
    Hours,
    Key,
    LastName,
    Line,
    Names,
    Options,
    Ratio,
    RefreshSchedule,
    RemovalWord,
    Schedule,
    Switch,
    TagName,
    TagNames,
    Text,
    WaitingHours,
    plain_words,
)
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions, OnLeave


class Segment(InsightsSegment):
    """A named set of profiles, which any number of exports may use."""

    name: TagName = Field(description="what people call it; it becomes the tag in Mailchimp")
    description: Text = Field(default="", description="who is in it")
    where: Text | None = Field(
        default=None, description="the condition that its profiles meet, in SQL over `profiles`"
    )
    sql: Text | None = Field(
        default=None,
        description="in place of a condition, a query that selects its profiles; or the .sql file that has it",
    )
    warn_ratio: Ratio | None = Field(
        default=None,
        description="by which part it may grow or shrink without a warning; that of refresh, unless set",
    )

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.segment and not (self.where or self.sql):
            return self
        named = [key for key in RULES if getattr(self, key)]
        if not named:
            raise Problems(
                [
                    Problem(
                        ("where",),
                        "is missing: add it (the condition that its profiles meet), or sql or uri",
                    )
                ]
            )
        if len(named) > 1:
            raise Problems(
                [Problem((named[1],), f"stands beside {named[0]}, and a segment has one rule: remove one")]
            )
        return self


RULES: Final = ("where", "sql", "segment", "uri")
"""The keys of which a segment has one: a condition, a query, a segment of Customer Insights, be it over its API or in
the files of uri, or files that somebody else writes."""


class Refresh(Entry):
    """The DAG that builds the segments."""

    name: Key = Field(default="customer_segments_refresh", description="its dag_id")
    schedule: RefreshSchedule = Field(
        default="@daily",
        description="a preset, a cron expression in UTC, or by_hand, when it is only triggered",
    )
    publishes: Key = Field(
        default="customer_segments",
        description="the asset that tells of a whole refresh, and starts the exports with_refresh",
    )
    warn_ratio: Ratio = Field(
        default=0.5, description="by which part a segment may grow or shrink without a warning"
    )
    keep: Count = Field(default=3, description="how many of the last refreshes are kept in any case")
    keep_hours: Hours = Field(
        default=48.0, description="the age that others have reached when they are removed"
    )
    at_once: Count = Field(default=4, description="how many segments are built at the same time, at most")
    http: Http | None = Field(
        default=None, description="how another system is called that refreshes what segments are made of"
    )
    export_all: Key | None = Field(
        default=None,
        description="the dag_id of the DAG that refreshes and exports all; its name and _and_export_all, unless set",
    )
    alerts: Alerts = Field(
        default=(), description="whom to tell, by Airflow's notifiers, of a refresh that failed or is late"
    )
    owner: Line | None = Field(default=None, description="who answers for it")
    tags: Names = Field(default=(), description="further tags of its DAG in Airflow")

    @model_validator(mode="after")
    def _check_alerts(self) -> Self:
        """A refresh has no people to tell of."""
        others = [number for number, alert in enumerate(self.alerts) if {*alert.on} - OF_ANY_RUN]
        if others:
            message = "may be failed and late, which a refresh can be: leave out the others"
            raise Problems([Problem(("alerts", number, "on"), message) for number in others])
        return self

    @property
    def export_all_name(self) -> str:
        """The id of the DAG that refreshes and exports all."""
        return self.export_all or f"{self.name}_and_export_all"


class Export(Entry):
    """What goes to which audience, how and when; its name is the dag_id."""

    display_name: Line | None = Field(default=None, description="what Airflow calls the DAG, unless its name")
    description: Text = Field(default="", description="what the export is for")
    enabled: Switch = Field(default=True, description="whether there is a DAG for it at all")
    connection: Line = Field(
        default="mailchimp_default", description="the Airflow connection of the Mailchimp account"
    )
    audience_id: AudienceId | None = Field(
        default=None, description="the audience; the one that the connection names, unless set"
    )
    segments: Names = Field(
        description="the keys of the segments that it exports, of which each becomes a tag"
    )
    retire: TagNames = Field(
        default=(),
        description="the names of segments that were taken out of it, whose tags are taken from its people",
    )
    email: Column = Field(
        description="the column of the e-mail address, which decides which member a profile is"
    )
    first_name: FirstName | None = Field(default=None, description="the column that fills FNAME")
    last_name: LastName | None = Field(default=None, description="the column that fills LNAME")
    fields: Fields = Field(default={}, description="further merge tags, each with what fills it")
    profile_id: Column | None = Field(
        default=None, description="a column that stays the same when an address changes"
    )
    on_leave: RemovalWord = Field(
        default=OnLeave.UNTAG.value,
        description="what becomes of people who left a segment: untag, archive or keep",
    )
    delivery: DeliveryWord = Field(default=Delivery.BATCH, description="batch, or direct")
    options: Options = Field(default=ExportOptions(), description="what is seldom changed, such as limits")
    schedule: Schedule = Field(
        default=WITH_REFRESH,
        description="with_refresh, after each whole refresh; a preset or a cron expression in UTC; or by_hand",
    )
    refreshed_within: Hours | None = Field(
        default=None,
        description="hours before it was due within which Customer Insights has to have refreshed its segments, for "
        "which it waits; unset, it does not wait",
    )
    pool: Line = Field(
        default="default_pool", description="the Airflow pool of the tasks that call Mailchimp"
    )
    connections: Connections = Field(
        default=8, description="how many slots of the pool it takes: the max_connections of its connection"
    )
    approval: ApprovalWord | None = Field(
        default=None,
        description="when somebody has to say yes before anything is sent: always, above_removal_ratio or first_run",
    )
    approvers: Names = Field(
        default=(),
        description="the ids of the Airflow users who may answer; whoever may run the DAG, unless set",
    )
    approval_hours: WaitingHours | None = Field(
        default=None,
        description="after how many hours without an answer a run fails; it waits for ever, unless set",
    )
    alerts: Alerts = Field(default=(), description="whom to tell, by Airflow's notifiers, of what goes wrong")
    owner: Line | None = Field(default=None, description="who answers for it")
    tags: Names = Field(default=(), description="further tags of its DAG in Airflow")

    @model_validator(mode="after")
    def _check_field_map(self) -> Self:
        if problems := list(
            problem_of(("fields",), lambda: parse_field_map(self.field_map), plain=plain_words)
        ):
            raise Problems(problems)
        return self

    @property
    def field_map(self) -> dict[str, Any]:
        """What fills which merge field, as the operator takes it."""
        names = {"EMAIL": self.email, "FNAME": self.first_name, "LNAME": self.last_name}
        given = {tag: source for tag, source in names.items() if source is not None}
        # A tag that is there twice stays twice, by its case, so that it is refused.
        return given | {tag.lower() if tag in given else tag: source for tag, source in self.fields.items()}

    @property
    def operator_options(self) -> dict[str, Any]:
        """The options as the operator takes them."""
        return asdict(self.options) | {"profile_id": self.profile_id or self.options.profile_id}
