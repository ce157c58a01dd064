"""What one run set out to do, as the tasks hand it to each other."""

from __future__ import annotations

import json

import pytest

from airflow_mailchimp_export.counts import Counts, FieldWarning
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.state.manifest import (
    Manifest,
    SegmentTally,
    SubmittedBatch,
    Tallies,
    batches_from_json,
    batches_to_json,
)

MANIFEST = Manifest(
    export="dag.task",
    run_id="scheduled__2026-01-02",
    dag_id="dag",
    audience_id="a1b2c3d4e5",
    export_user="Ada Lovelace",
    started_at="2026-01-02T03:04:05+00:00",
    planned_at="2026-01-02T03:05:06+00:00",
    delivery=Delivery.DIRECT,
    skip_merge_validation=True,
    max_reject_ratio=0.25,
    dry_run=True,
    keep_runs=7,
    ledger_version=4,
    segments=(SegmentTally("VIP", "Very important", 3, unchanged=1), SegmentTally("名前", "名前", 0)),
    warnings=(FieldWarning("AGE", "not_a_number", 2, ("row 1", "row 2"), "Give a number."),),
    tallies=Tallies(
        rows_read=9,
        merged=1,
        differing=1,
        unchanged=3,
        rejected=2,
        planned=3,
        upsert_chunks=1,
        leave_chunks=2,
    ),
)


@pytest.mark.parametrize("delivery", Delivery)
def test_a_manifest_can_be_read_back(delivery: Delivery) -> None:
    """What is read from the file is what was written, in the same types."""
    manifest = Manifest.from_json(MANIFEST.to_json().replace(b'"direct"', f'"{delivery}"'.encode()))
    assert manifest.delivery is delivery
    assert manifest.to_json() == MANIFEST.to_json().replace(b'"direct"', f'"{delivery}"'.encode())
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_a_manifest_is_plain_json() -> None:
    """Anybody can read the file."""
    content = json.loads(MANIFEST.to_json())
    assert {name: number for name, number in content["tallies"].items() if number} == {
        **{"rows_read": 9, "merged": 1, "differing": 1, "unchanged": 3, "rejected": 2, "planned": 3},
        **{"upsert_chunks": 1, "leave_chunks": 2},
    }
    assert content["segments"][1] == {"name": "名前", "tag": "名前", "rows": 0, "unchanged": 0}


def test_the_counts_of_a_plan_become_those_of_the_run() -> None:
    """What was read, merged and unchanged stays; what became of each person is what the answers say."""
    effects = {"created": 2, "rejected": 3, "removed": 1, "renamed": 7, "unchanged": 5}
    assert MANIFEST.tallies.with_effects(effects) == Counts(
        rows_read=9, merged=1, unchanged=3, created=2, rejected=3, removed=1
    )


@pytest.mark.parametrize("batches", [(), (SubmittedBatch("b1", (0, 1, 2)), SubmittedBatch("b2", (3,)))])
def test_batches_can_be_read_back(batches: tuple[SubmittedBatch, ...]) -> None:
    """The journal of batches names each with its chunks, in the order of submission."""
    assert batches_from_json(batches_to_json(batches)) == batches
