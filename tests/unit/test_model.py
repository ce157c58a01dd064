"""The words of an export as values."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Any

import pytest

from airflow_mailchimp_export import counts, model, rules
from airflow_mailchimp_export.accounting.report import RENAME_UNCONFIRMED, Aggregates, Counts, build_report
from airflow_mailchimp_export.model import Audience, Batch, Effect, MemberStatus, Reason
from tests.kit.exports import MANIFEST

KINDS = [
    kind
    for module in (counts, model, rules)
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize(
    ("status", "finished"), [("finished", True), ("finalizing", False), ("pending", False)]
)
def test_a_batch_is_over_when_mailchimp_says_so(status: str, finished: bool) -> None:
    """Only the status tells: all operations may be done long before."""
    assert Batch("b", status, total_operations=5, finished_operations=5).finished is finished


def test_every_effect_is_counted() -> None:
    """Each effect has a count of its own name in the report; changed addresses have a place of their own there."""
    changed = {Effect.RENAMED, Effect.RENAME_REFUSED}
    counted = {*changed, RENAME_UNCONFIRMED}
    assert set(Effect) - changed <= {count.name for count in dataclasses.fields(Counts)}
    assert build_report(MANIFEST, Aggregates(), batch_ids=()).address_changes.keys() == counted


def test_every_status_that_suppresses_is_a_reason() -> None:
    """Whoever is left alone for their status is counted under that status."""
    assert {status.value for status in MemberStatus} - {reason.value for reason in Reason} == {"subscribed"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if dataclasses.is_dataclass(kind)])
def test_values_never_change(kind: Any) -> None:
    """Every value is frozen and slotted."""
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_closed_sets_are_text() -> None:
    """Every closed set is made of text, so that it can stand in files and requests as it is."""
    closed = [kind for kind in KINDS if not dataclasses.is_dataclass(kind) and not issubclass(kind, tuple)]
    assert closed
    assert all(issubclass(kind, StrEnum) for kind in closed)


def test_an_audience_begins_without_merge_fields() -> None:
    """Merge fields are told apart from the audience, and no two audiences share theirs."""
    assert Audience("a", "A").merge_fields == {}
    assert Audience("a", "A").merge_fields is not Audience("b", "B").merge_fields
