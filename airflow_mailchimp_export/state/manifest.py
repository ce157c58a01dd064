"""What one run set out to do, kept so that any task, on any worker, can go on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from airflow_mailchimp_export.counts import Counts, FieldWarning
from airflow_mailchimp_export.model import Delivery, FingerprintBasis


@dataclass(frozen=True, slots=True)
class SegmentTally:
    """How many rows a segment had, how many of its people are as they were, and the tag that it becomes."""

    name: str
    tag: str
    rows: int
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Tallies(Counts):
    """The counts as far as they are known once a run is planned, and the requests that it makes.

    :param differing: merged rows whose mapped values differ from those of the row that counts.
    :param planned: members to be sent.
    :param upsert_chunks: requests that carry them; their numbers start at 0.
    :param leave_chunks: requests by which people are removed; their numbers follow.
    """

    differing: int = 0
    planned: int = 0
    upsert_chunks: int = 0
    leave_chunks: int = 0

    def with_effects(self, effects: Mapping[str, int]) -> Counts:
        """Return the counts of the run, now that it is known what became of each person."""
        names = {field.name for field in fields(Counts)}
        found = {effect: number for effect, number in effects.items() if effect in names}
        known = {"rows_read": self.rows_read, "merged": self.merged, "unchanged": self.unchanged}
        return Counts(**{**found, **known})


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run: who, what, where to, and what was planned.

    :param planned_at: when it was known who must not be touched; ISO 8601.
    :param ledger_version: of the ledger that the run was planned from; 0 for none.
    :param basis: of the fingerprints in the plan; empty in what release 0.1.0 wrote.
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

    def to_json(self) -> bytes:
        """Return the manifest as JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Read a manifest."""
        values: dict[str, Any] = orjson.loads(content)
        return cls(
            **{
                **values,
                "delivery": Delivery(values["delivery"]),
                "segments": tuple(SegmentTally(**item) for item in values["segments"]),
                "warnings": tuple(FieldWarning.from_json(item) for item in values["warnings"]),
                "tallies": Tallies(**values["tallies"]),
                "basis": _to_basis(values.get("basis") or {}),
            }
        )


def _to_basis(values: Mapping[str, Any]) -> FingerprintBasis:
    return FingerprintBasis(**{**values, "order": tuple(values.get("order") or ())})


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A batch that Mailchimp took, and the chunks in it."""

    id: str
    chunks: tuple[int, ...]


def batches_to_json(batches: Sequence[SubmittedBatch]) -> bytes:
    """Return the submitted batches as JSON."""
    return orjson.dumps([asdict(batch) for batch in batches], option=orjson.OPT_INDENT_2)


def batches_from_json(content: bytes) -> tuple[SubmittedBatch, ...]:
    """Read the submitted batches."""
    return tuple(SubmittedBatch(item["id"], tuple(item["chunks"])) for item in orjson.loads(content))
