"""What an export is asked to do, and the way to Mailchimp."""

from __future__ import annotations

import pytest

from tests.kit.exports import define
from tests.kit.people import people


@pytest.mark.parametrize(
    ("profile_id", "columns"),
    [(None, ("email", "name")), ("id", ("email", "name", "id")), ("name", ("email", "name"))],
)
def test_the_columns_that_are_needed(profile_id: str | None, columns: tuple[str, ...]) -> None:
    """The mapped columns come first, the address's before all, then the profile's id, each once."""
    field_map = {"FNAME": "name", "EMAIL": "email", "LNAME": "name"}
    definition = define({"S": people()}, field_map=field_map, profile_id=profile_id)
    assert definition.columns == columns
