"""The entries of a configuration: a segment, the refresh, an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from airflow_mailchimp_export.config.mistakes import Problems, problem_of
from airflow_mailchimp_export.config.values import (
    WITH_REFRESH,
    AudienceId,
    Column,
    Connections,
    DeliveryWord,
    Fields,
    FirstName,
    Key,
    LastName,
    Line,
    Names,
    Options,
    RefreshSchedule,
    RemovalWord,
    Schedule,
    Switch,
    TagName,
    Text,
    plain_words,
)
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import ExportOptions, OnLeave
from airflow_mailchimp_export.settings.coercion import is_blank


class Entry(BaseModel):
    """A part of the configuration: keys that it does not know are refused, and blank ones count as unset."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_blanks(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {
            key: value for key, value in given.items() if key not in cls.model_fields or not is_blank(value)
        }


class Segment(Entry):
    """A named set of profiles, which any number of exports may use."""

    name: TagName = Field(description="what people call it; it becomes the tag in Mailchimp")
    description: Text = Field(default="", description="who is in it")
    where: Text = Field(description="the condition that its profiles meet, in DuckDB's SQL over `profiles`")


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
    owner: Line | None = Field(default=None, description="who answers for it")
    tags: Names = Field(default=(), description="further tags of its DAG in Airflow")


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
    pool: Line = Field(
        default="default_pool", description="the Airflow pool of the tasks that call Mailchimp"
    )
    connections: Connections = Field(
        default=8, description="how many slots of the pool it takes: the max_connections of its connection"
    )
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
