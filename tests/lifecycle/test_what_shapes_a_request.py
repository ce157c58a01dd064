"""Another mapping sends everybody again; what shapes no request sends nobody."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.people import many, people

FIELDS = f"{LIST}/merge-fields"
FIRST_NAME = f"{FIELDS}/1"
ROWS = people("ada@mail.eu", name=["Ada"], last=["King"], id=["1"])


def test_another_field_map(life: Life) -> None:
    """When a column goes to another merge field, people are sent though their profiles are as they were."""
    life.run({"S": ROWS}, field_map={"EMAIL": "email", "FNAME": "name"})
    report = life.run({"S": ROWS}, field_map={"EMAIL": "email", "LNAME": "name"})
    assert report.counts == Counts(rows_read=1, updated=1)


def test_another_type_of_the_audiences_field(life: Life) -> None:
    """When a merge field has another type, people are sent though their profiles are as they were."""
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    life.run({"S": ROWS})
    life.sandbox.call("DELETE", FIRST_NAME)
    choice = {"tag": "FNAME", "name": "First Name", "type": "dropdown", "options": {"choices": ["Ada"]}}
    life.sandbox.call("POST", FIELDS, choice)
    assert life.run({"S": ROWS}).counts == Counts(rows_read=1, updated=1)


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"skip_merge_validation": True}, {}),
        ({"profile_id": "id"}, {}),
        ({"field_map": {"EMAIL": "email", "LNAME": "last", "FNAME": "name"}}, {}),
        ({}, {"name": "Given name"}),
        ({}, {"required": True}),
    ],
    ids=["validation", "profile id", "order", "label", "required"],
)
def test_what_shapes_no_request_sends_nobody(life: Life, how: dict[str, Any], field: dict[str, Any]) -> None:
    """Who has been sent is not sent again for the sake of a label, of an option, or of the order of fields."""
    life.field_map = {"EMAIL": "email", "FNAME": "name", "LNAME": "last"}
    life.run({"S": ROWS})
    life.sandbox.call("PATCH", FIRST_NAME, field)
    assert life.run({"S": ROWS}, **how).counts == Counts(rows_read=1, unchanged=1)


def test_who_was_refused_is_tried_again_under_other_rules(life: Life) -> None:
    """Once the audience requires a field no more, who was refused for want of it is sent."""
    life.sandbox.call("PATCH", FIRST_NAME, {"required": True})
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    rows = people("ada@mail.eu", "bo@mail.eu", name=["Ada", None])
    assert life.run({"S": rows}).counts == Counts(rows_read=2, created=1, rejected=1)
    assert life.run({"S": rows}).counts == Counts(rows_read=2, unchanged=1, rejected=1)
    life.sandbox.call("PATCH", FIRST_NAME, {"required": False})
    assert life.run({"S": rows}).counts == Counts(rows_read=2, unchanged=1, created=1)


def test_created_fields_send_nobody_again(life: Life) -> None:
    """The run after the one that created the audience's merge fields sends nobody."""
    life.field_map = {"EMAIL": "email", "AGE": "age"}
    rows = people("ada@mail.eu", age=pa.array([36]))
    assert life.run({"S": rows}, create_merge_fields=True).counts == Counts(rows_read=1, created=1)
    assert life.run({"S": rows}, create_merge_fields=True).counts == Counts(rows_read=1, unchanged=1)


def test_a_field_that_is_not_mapped_changes_nothing(life: Life) -> None:
    """A merge field that the export does not fill may come and go without anybody being sent."""
    life.run({"S": many(3)})
    life.sandbox.call("POST", FIELDS, {"tag": "AGE", "name": "Age", "type": "number"})
    assert life.run({"S": many(3)}).counts.unchanged == 3
