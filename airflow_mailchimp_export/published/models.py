"""The model of what is published of a run; its JSON Schema is shipped beside it.

A later release may add keys under the same number, so who reads it takes no offence at those that it does not know;
a key that goes, or means something else, gets a new number.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from airflow_mailchimp_export.accounting.problems import ProblemKind
from airflow_mailchimp_export.model import Verdict

SCHEMA: Final = 1
"""The number of the form that this release publishes."""


class Part(BaseModel):
    """A part of what is published; it never changes."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class PublishedAudience(Part):
    """Where a run went."""

    id: str = Field(default="", description="Mailchimp's audience id; empty where it was not known yet")
    name: str = Field(default="", description="what people call it")
    web_id: int = Field(
        default=0, description="by which Mailchimp's pages find it; 0 where it was not asked for"
    )
    data_center: str = Field(default="", description="such as us21; of another host, the host")
    page: str = Field(default="", description="where a browser shows it")


class PublishedCounts(Part):
    """How many rows came to what, as in report.json."""

    rows_read: int = Field(description="rows over all segments")
    merged: int = Field(description="further rows of a person already counted")
    rejected: int = Field(description="could not be sent, or Mailchimp refused")
    suppressed: int = Field(
        description="not sent, or not taken, because the person or Mailchimp for them said no"
    )
    unchanged: int = Field(description="in the audience as they should be; not sent")
    created: int = Field(description="new in the audience")
    updated: int = Field(description="were in the audience")
    unconfirmed: int = Field(description="Mailchimp gave no answer")
    not_sent: int = Field(description="the run was stopped before anything was sent")
    removed: int = Field(description="people who left and lost their tags, or were archived")
    removal_failed: int = Field(description="people who left, of whom at least one tag could not be taken")


class PublishedSegment(Part):
    """What a segment came to."""

    name: str = Field(description="as the export names it")
    rows: int = Field(description="rows at the source")
    members: int = Field(description="people of it who are in the audience, with its tag")
    joined: int = Field(description="those of them who got the tag by this run")
    left: int = Field(description="people who lost it by this run")


class PublishedRemoval(Part):
    """How many people a tag would lose."""

    tag: str = Field(description="the tag; empty for all tags together, where each person counts once")
    removed: int = Field(description="people who would lose it")
    owned: int = Field(description="people who have it by the export")


class PublishedAllowance(Part):
    """What would let a run through that a limit has stopped."""

    param: str = Field(description="the option that is the limit")
    value: float = Field(description="the least that it has to be")
    removals: tuple[PublishedRemoval, ...] = Field(
        default=(),
        description="what it would let through: first over all tags, then of the 20 tags that lose most",
    )


class PublishedProblem(Part):
    """What stopped a run, or why too little came of it."""

    kind: ProblemKind = Field(description="what sort of problem it is")
    message: str = Field(description="what happened")
    remedy: str = Field(description="what to do about it")
    allow: PublishedAllowance | None = Field(
        default=None, description="what would let the run through, where a limit has stopped it"
    )


class PublishedReject(Part):
    """One of the rejects; who it is says rejects.csv in the folder of the run."""

    segments: tuple[str, ...] = Field(description="the first segments that the person is in; at most 5")
    source: str = Field(description="file and row")
    field: str = Field(description="the merge tag that is to blame")
    reason: str = Field(description="why, in one word")
    mailchimp_says: str = Field(
        description="Mailchimp's own words, masked, where it was Mailchimp who refused"
    )
    remedy: str = Field(description="what to do")


class PublishedWarning(Part):
    """Values that did not fit a merge field, or a tag that is not as the ledger has it."""

    field: str = Field(description="the merge tag, or the tag")
    kind: str = Field(description="what was wrong with all of them")
    count: int = Field(description="how many there are")
    examples: tuple[str, ...] = Field(description="file and row of the first few")
    remedy: str = Field(description="what to do")


class PublishedReport(Part):
    """The account of one run that has ended, however it ended."""

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema", description="the number of this form")
    export: str = Field(description="the name of the export")
    run_id: str = Field(description="Airflow's run")
    dag_id: str = Field(description="Airflow's DAG")
    connection_id: str = Field(default="", description="the Mailchimp connection")
    audience: PublishedAudience = Field(default=PublishedAudience(), description="where it went")
    export_user: str = Field(default="", description="who is responsible, from the connection")
    read_as: tuple[str, ...] = Field(
        default=(), description="whom Customer Insights took each connection for that was read"
    )
    started_at: str = Field(default="", description="when the run began, in UTC; empty where it did not")
    finished_at: str = Field(description="when it ended, in UTC")
    delivery: str = Field(default="", description="batch or direct")
    dry_run: bool = Field(default=False, description="whether it only says what would be done")
    preview: bool = Field(
        default=False, description="whether it is the dry run before a run, which somebody was to agree to"
    )
    full: bool = Field(
        default=False, description="whether everybody was to be sent, whatever the ledger says"
    )
    withdraw: bool = Field(default=False, description="whether it takes back all that the export gave")
    look_up: str = Field(default="", description="how it was found out who may not be sent")
    verdict: Verdict = Field(description="how it ended")
    refused: bool = Field(default=False, description="whether it was stopped before anything was sent")
    problem: PublishedProblem | None = Field(default=None, description="what stopped it, if something did")
    counts: PublishedCounts | None = Field(
        default=None, description="how many rows came to what; null where the run is not accounted for"
    )
    rejects_by_reason: dict[str, int] = Field(default={}, description="how many rejects have which reason")
    suppressed_by_reason: dict[str, int] = Field(
        default={}, description="how many suppressed people have which reason"
    )
    rejects_new: int = Field(default=0, description="how many of the rejects no earlier run had")
    rejects_known: int = Field(default=0, description="how many it had for the same reason")
    sample_rejects: tuple[PublishedReject, ...] = Field(
        default=(), description="a few of the rejects, of each reason some; at most 50"
    )
    segments: tuple[PublishedSegment, ...] = Field(default=(), description="what each segment came to")
    batch_ids: tuple[str, ...] = Field(default=(), description="the batches; none with direct delivery")
    address_changes: dict[str, int] = Field(
        default={}, description="how many members were renamed, could not be, or may have been"
    )
    untagged_instead: int = Field(
        default=0, description="of those removed, who lost their tags in place of being archived"
    )
    examples: dict[str, tuple[str, ...]] = Field(
        default={}, description="of a dry run, for each effect a few addresses, masked like a***@i***"
    )
    differing: int = Field(default=0, description="merged rows whose mapped values differ from the first")
    warnings: tuple[PublishedWarning, ...] = Field(
        default=(), description="values that did not fit, and tags that are not as they were"
    )
    versions: dict[str, str] = Field(default={}, description="of the packages that matter")
    run_uri: str = Field(
        default="", description="the folder with the files of the run; empty where it has none"
    )
    truncated: dict[str, int] = Field(
        default={}, description="of which of these lists how many entries were left out, for the size's sake"
    )
