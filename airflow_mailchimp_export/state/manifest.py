"""What one run set out to do, kept so that any task, on any worker, can go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from airflow_mailchimp_export.counts import Counts, FieldWarning
from airflow_mailchimp_export.model import Delivery, FingerprintBasis
from airflow_mailchimp_export.state.json_format import JsonFormat


@dataclass(frozen=True, slots=True)
class SegmentTally:
    """How many rows a segment had, how many of its people are as they were, and the tag that it becomes."""

    name: str
    tag: str
    rows: int
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class RemovalTally:
    """How many people lose a tag, of how many who have it by this export; without a tag, of all."""

    tag: str
    removed: int
    owned: int

    @property
    def ratio(self) -> float:
        """The part that is removed."""
        return self.removed / self.owned if self.owned else float(self.removed > 0)


@dataclass(frozen=True, slots=True)
class Tallies(Counts):
    """The counts as far as they are known once a run is planned, and the requests that it makes.

    :param differing: merged rows whose mapped values differ from those of the row that counts.
    :param planned: members to be sent.
    :param upsert_chunks: requests that carry them; their numbers start at 0.
    :param removal_chunks: requests by which people are removed; their numbers follow.
    :param removals: people in them, each once for each tag; 0 in what release 0.1.0 wrote.
    :param untagged_instead: people who lose their tags in place of being archived.
    """

    differing: int = 0
    planned: int = 0
    upsert_chunks: int = 0
    removal_chunks: int = 0
    removals: int = 0
    untagged_instead: int = 0

    def with_effects(self, effects: Mapping[str, int]) -> Counts:
        """Return the counts of the run, now that it is known what became of each person."""
        names = {field.name for field in fields(Counts)}
        found = {effect: number for effect, number in effects.items() if effect in names}
        known = {"rows_read": self.rows_read, "merged": self.merged, "unchanged": self.unchanged}
        return Counts(**{**found, **known})


@dataclass(frozen=True, slots=True)
class AudienceNote:
    """How people know the audience of a run; empty in what release 0.1.0 wrote.

    :param web_id: by which Mailchimp's pages find it; 0 where the run did not get as far as asking.
    :param data_center: such as ``us21``; the host where that is not Mailchimp's.
    :param page: where a browser shows it.
    """

    name: str = ""
    web_id: int = 0
    data_center: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run: who, what, where to, and what was planned.

    :param planned_at: when it was known who must not be touched; ISO 8601.
    :param ledger_version: of the ledger that the run was planned from; 0 for none.
    :param basis: of the fingerprints in the plan; empty in what release 0.1.0 wrote.
    :param task: the task that the run belongs to; empty in what release 0.1.0 wrote.
    :param definition: what stands for all that was asked for.
    :param sources: what identifies the data of each segment, as their storage tells it.
    :param data_moment: of what moment these data are, in ISO 8601; empty where nobody knows.
    :param read_as: whom Customer Insights took its connections for.
    :param replaces_ledger: whether a ledger that cannot be used is set aside once a new one is written.
    :param connection_id: the Mailchimp connection; empty in what release 0.1.0 wrote.
    :param full: whether everybody is sent, whatever the ledger says.
    :param withdraw: whether the run takes back all that the export gave.
    :param retired: the tags that the export gave once and takes back, by this run or by one before it.
    :param removals: what counts towards the removal limit: first over all tags, then for each.
    :param over_limit: of a preview, what is over that limit; empty where nothing is.
    :param look_up: how it was found out who may not be sent.
    """

    export: str
    run_id: str
    dag_id: str
    audience_id: str
    export_user: str
    started_at: str
    planned_at: str
    delivery: Delivery
    skip_merge_validation: bool
    max_reject_ratio: float
    dry_run: bool
    keep_runs: int
    ledger_version: int
    segments: tuple[SegmentTally, ...]
    warnings: tuple[FieldWarning, ...]
    tallies: Tallies
    basis: FingerprintBasis = FingerprintBasis()
    task: str = ""
    definition: str = ""
    sources: tuple[str, ...] = ()
    data_moment: str = ""
    replaces_ledger: bool = False
    connection_id: str = ""
    audience: AudienceNote = AudienceNote()
    full: bool = False
    withdraw: bool = False
    retired: tuple[str, ...] = ()
    removals: tuple[RemovalTally, ...] = ()
    over_limit: str = ""
    read_as: tuple[str, ...] = ()
    look_up: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch that Mailchimp took, and the chunks in it."""

    id: str
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SubmittedBatches:
    """The batches of a run, in the order of their submission."""

    batches: tuple[SubmittedBatch, ...]


def _with_removal_chunks(run: Any) -> Any:
    """Format 1, of release 0.1.0, calls them leave_chunks."""
    tallies = dict(run["tallies"])
    return {**run, "tallies": {**tallies, "removal_chunks": tallies.pop("leave_chunks")}}


def _with_a_name(batches: Any) -> Any:
    """Format 1, of release 0.1.0, is the bare list."""
    return {"batches": batches}


MANIFEST_FORMAT = JsonFormat([_with_removal_chunks])

BATCHES_FORMAT = JsonFormat([_with_a_name])
