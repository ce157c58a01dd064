"""The field map in a run."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import Verdict
from tests.kit.client import members_of
from tests.kit.exports import LIST
from tests.kit.life import Life, changing
from tests.kit.people import people

FIELDS = f"{LIST}/merge-fields"


def test_missing_merge_fields_are_created(life: Life) -> None:
    """With create_merge_fields, what the audience lacks is there before the first profile."""
    rows = people("ada@mail.eu", name=["Ada"], age=[36])
    life.field_map = {"EMAIL": "email", "FNAME": "name", "AGE": "age"}
    with life.watched() as seen:
        report = life.run({"S": rows}, create_merge_fields=True)
    assert report.verdict is Verdict.SUCCESS
    assert changing(seen) == [f"POST {FIELDS}", f"POST {LIST}"]
    (created,) = [one for one in life.sandbox.call("GET", FIELDS)["merge_fields"] if one["tag"] == "AGE"]
    assert (created["name"], created["type"]) == ("Age", "number")
    assert life.sandbox.members()["ada@mail.eu"]["merge_fields"] == {"FNAME": "Ada", "AGE": 36}


def test_a_wrong_map_creates_nothing(life: Life) -> None:
    """Where another part of the field map is wrong, no merge field is created."""
    life.sandbox.call("POST", FIELDS, {"tag": "BORN", "name": "Born", "type": "date"})
    rows = people("ada@mail.eu", born=[1.5], age=[36])
    life.field_map = {"EMAIL": "email", "BORN": "born", "AGE": "age"}
    with life.watched() as seen, pytest.raises(ConfigError, match="BORN of type date"):
        life.run({"S": rows}, create_merge_fields=True)
    assert changing(seen) == []


def test_a_column_of_which_no_value_fits(life: Life) -> None:
    """A column that holds something else altogether stops the run before anything is sent."""
    life.sandbox.call("POST", FIELDS, {"tag": "AGE", "name": "Age", "type": "number"})
    life.field_map = {"EMAIL": "email", "AGE": "age"}
    with pytest.raises(ConfigError, match="no value of the column for AGE fits the type number"):
        life.run({"S": people(*(f"p{number}@mail.eu" for number in range(50)), age=["old", "young"] * 25)})
    assert life.carriers() == []


def test_an_address_in_parts(life: Life) -> None:
    """A field that is filled from several columns is checked and sent whole."""
    life.sandbox.call("POST", FIELDS, {"tag": "HOME", "name": "Home", "type": "address"})
    parts = {"addr1": "street", "city": "city", "state": "region", "zip": "code"}
    life.field_map = {"EMAIL": "email", "HOME": parts}
    life.run({"S": people("ada@mail.eu", street=["1 Main St"], city=["X"], region=["Y"], code=["1"])})
    (request,) = life.carriers()
    assert members_of(request)[0]["merge_fields"] == {
        "HOME": {"addr1": "1 Main St", "city": "X", "state": "Y", "zip": "1"}
    }


def test_required_fields_may_be_waived(life: Life) -> None:
    """With skip_merge_validation a required field may be blank, and Mailchimp is told so."""
    life.sandbox.call("PATCH", f"{FIELDS}/1", {"required": True})
    life.field_map = {"EMAIL": "email", "FNAME": "name"}
    rows = people("ada@mail.eu", name=pa.array([None], pa.string()))
    report = life.run({"S": rows}, skip_merge_validation=True)
    assert report.counts == Counts(rows_read=1, created=1)
    assert dict(life.carriers()[0].query)["skip_merge_validation"] == "true"


@pytest.mark.parametrize(
    "how", [{}, {"blank": "clear"}, {"default": "none"}], ids=["left out", "cleared", "default"]
)
def test_the_address_fills_a_merge_field_too(life: Life, how: dict[str, str]) -> None:
    """What the column of the address holds is sent as any other value, whatever a blank would become."""
    life.sandbox.call("POST", FIELDS, {"tag": "MAIL", "name": "Mail", "type": "text"})
    life.field_map = {"EMAIL": "email", "MAIL": {"column": "email", **how}}
    assert life.run({"S": people("Ada@mail.eu")}).counts == Counts(rows_read=1, created=1)
    assert life.sandbox.members()["ada@mail.eu"]["merge_fields"] == {"MAIL": "ada@mail.eu"}
