"""What an export is asked to do, and the way to Mailchimp."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_mailchimp_export.config import ExportOptions, parse_segments
from airflow_mailchimp_export.definition import ExportDefinition
from airflow_mailchimp_export.field_map import parse_field_map
from airflow_mailchimp_export.model import LeaveChunk, LeaveKind
from tests.unit.core_fakes import (
    AUDIENCE_ID,
    LIST,
    Consent,
    FakeClient,
    accepted,
    chunk,
    emails,
    gateway,
    members_of,
)


@pytest.mark.parametrize(
    ("profile_id", "columns"),
    [(None, ("email", "name")), ("id", ("email", "name", "id")), ("name", ("email", "name"))],
)
def test_the_columns_that_are_needed(profile_id: str | None, columns: tuple[str, ...]) -> None:
    """The mapped columns come first, the address's before all, then the profile's id, each once."""
    definition = ExportDefinition(
        name="export",
        audience_id=AUDIENCE_ID,
        segments=parse_segments({"S": emails()}),
        field_map=parse_field_map({"FNAME": "name", "EMAIL": "email", "LNAME": "name"}),
        options=ExportOptions(profile_id=profile_id),
    )
    assert definition.columns == columns


def test_whoever_sends_asks_for_consent() -> None:
    """Upserter and remover of a gateway ask its permit before each request, and go to its client."""
    removal = f"DELETE {LIST}/members/{chunk(0, 'a@mail.eu').members[0].subscriber_hash}"
    client = FakeClient({f"POST {LIST}": accepted, removal: lambda _: None})
    permit = Consent(AssertionError("asked too often"), permits=2)
    way = gateway(client, permit)
    way.upserter(AUDIENCE_ID, skip_merge_validation=True).upsert(chunk(0, "a@mail.eu"))
    way.remover(AUDIENCE_ID).remove(LeaveChunk(1, LeaveKind.ARCHIVE, "", ("a@mail.eu",)))
    upsert, archived = client.requests
    assert members_of(upsert)[0]["email_address"] == "a@mail.eu"
    assert dict(upsert.query)["skip_merge_validation"] == "true"
    assert archived.method == "DELETE"
    assert permit.asked == 2


def test_opt_outs_go_by_the_gateways_clock() -> None:
    """Who says no after planning is asked for as the gateway's clock goes, not as the machine's does."""
    member = {"id": "1", "email_address": "a@mail.eu"}
    client = FakeClient({f"GET {LIST}/members": lambda _: {"members": [member], "total_items": 1}})
    moments = iter(datetime(2026, 1, 2, 3, minute, tzinfo=UTC) for minute in (0, 9, 9))
    opt_outs = gateway(client, now=lambda: next(moments)).opt_outs(
        AUDIENCE_ID, planned_at="2026-01-02T03:00:00+00:00"
    )
    assert opt_outs.among(["a@mail.eu"]) == {}
    assert opt_outs.among(["a@mail.eu"]).keys() == {"a@mail.eu"}
