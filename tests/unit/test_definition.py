"""What an export is asked to do, and the way to Mailchimp."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.definition import ExportDefinition
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.segments import parse_segments
from tests.kit.exports import AUDIENCE_ID
from tests.kit.people import people


@pytest.mark.parametrize(
    ("profile_id", "columns"),
    [(None, ("email", "name")), ("id", ("email", "name", "id")), ("name", ("email", "name"))],
)
def test_the_columns_that_are_needed(profile_id: str | None, columns: tuple[str, ...]) -> None:
    """The mapped columns come first, the address's before all, then the profile's id, each once."""
    definition = ExportDefinition(
        name="export",
        audience_id=AUDIENCE_ID,
        segments=parse_segments({"S": people()}),
        field_map=parse_field_map({"FNAME": "name", "EMAIL": "email", "LNAME": "name"}),
        options=ExportOptions(profile_id=profile_id),
    )
    assert definition.columns == columns
