"""Profiles as a plan's file takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.model import Member, Reject
from tests.kit.people import hash_of

TYPES = {"membership": pa.int32(), "fingerprint": pa.uint64(), "is_new": pa.bool_()}
"""Of columns that are no text."""


def planned_rows(
    people: Sequence[str], members: Sequence[Member | Reject], **columns: Sequence[Any]
) -> tuple[pa.RecordBatch, dict[int, Reject]]:
    """Make profiles of these addresses, of which every other one is in both segments; and say which are rejects."""
    count = len(people)
    known: dict[str, Sequence[Any]] = {
        "subscriber_hash": list(map(hash_of, people)),
        "email": people,
        "status": ["subscribed"] * count,
        "membership": [index % 2 for index in range(count)],
        "fingerprint": [index + 1 for index in range(count)],
        "profile_id": [None] * count,
        "is_new": [True] * count,
        "was": [None] * count,
        "source": [f"row {index + 1}" for index in range(count)],
        "payload": [None if isinstance(one, Reject) else one.payload.decode() for one in members],
    }
    arrays = {
        name: pa.array(values, TYPES.get(name, pa.string())) for name, values in {**known, **columns}.items()
    }
    rejects = {index: one for index, one in enumerate(members) if isinstance(one, Reject)}
    return pa.record_batch(arrays), rejects
