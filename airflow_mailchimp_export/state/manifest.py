"""What one run set out to do, kept so that any task, on any worker, can go on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from airflow_mailchimp_export.model import Delivery, FingerprintBasis


@dataclass(frozen=True, slots=True)
class SegmentTally:
    """How many rows a segment had, how many of its people are as they were, and the tag that it becomes."""

    name: str
    tag: str
    rows: int
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class FieldWarning:
    """Values that did not fit a merge field: the field was left out or cut, the profile went all the same."""

    field: str
    kind: str
    count: int
    examples: tuple[str, ...]
    remedy: str

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> FieldWarning:
        """Read a warning."""
        return cls(**{**item, "examples": tuple(item["examples"])})


@dataclass(frozen=True, slots=True)
class Tallies:
    """The counts that are known once a run is planned.

    :param rows_read: rows over all segments.
    :param merged: further rows of a person already counted.
    :param differing: those of them whose mapped values differ from the row that counts.
    :param unchanged: people who are in the audience as they should be.
    :param rejected: profiles that cannot be sent.
    :param planned: members to be sent.
    :param upsert_chunks: requests that carry them; their numbers start at 0.
    :param leave_chunks: requests by which people leave; their numbers follow.
    """

    rows_read: int
    merged: int = 0
    differing: int = 0
    unchanged: int = 0
    rejected: int = 0
    planned: int = 0
    upsert_chunks: int = 0
    leave_chunks: int = 0

    @property
    def people(self) -> int:
        """How many people the rows stand for; a row without a usable address counts as one."""
        return self.rows_read - self.merged


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
