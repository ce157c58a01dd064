"""The sample data."""

from __future__ import annotations

import csv
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples.make_profiles import audience_rows, make_samples
from samples.people import HERE


@pytest.fixture(scope="module")
def profiles() -> pa.Table:
    """The profiles that are shipped."""
    return pq.read_table(HERE / "profiles.parquet")


@pytest.fixture(scope="module")
def audience() -> list[dict[str, str]]:
    """The audience that is shipped."""
    with (HERE / "audience.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_shipped_samples_are_what_the_script_makes(profiles: pa.Table) -> None:
    """Running the script again makes the same profiles and the same audience."""
    table, listed = make_samples()
    assert table.equals(profiles)
    with (HERE / "audience.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [list(row) for row in audience_rows(listed)]


def test_profiles_are_small_to_download() -> None:
    """The file of the profiles is no larger than 2 MB."""
    assert (HERE / "profiles.parquet").stat().st_size <= 2_000_000


def test_profiles_have_what_real_data_has(profiles: pa.Table) -> None:
    """There are capitals, padding, blanks, formulas, long names, odd dates and people who come twice."""
    rows = profiles.to_pylist()
    addresses = [row["email"] or "" for row in rows]
    assert len(rows) == 20_000
    assert sum(address != address.strip() for address in addresses) > 100
    assert sum(address.isupper() for address in addresses) > 100
    assert sum(not address.strip() for address in addresses) > 100
    assert sum(address.endswith(("@example.com", "@test.com", "@gmil.com")) for address in addresses) > 100
    assert sum(len((row["last_name"] or "").encode()) > 255 for row in rows) > 5
    assert any((row["first_name"] or "").startswith("=HYPERLINK") for row in rows)
    people = Counter(address.strip().lower() for address in addresses if address.strip())
    assert sum(count > 1 for count in people.values()) > 300


def test_audience_has_every_status_among_the_customers(
    profiles: pa.Table, audience: list[dict[str, str]]
) -> None:
    """Customers of every status are in the audience, some who opted out themselves and some forgotten."""
    known = {(address or "").strip().lower() for address in profiles["email"].to_pylist()}
    customers = [member for member in audience if member["email"].lower() in known]
    statuses = Counter(member["status"] for member in customers)
    assert set(statuses) == {
        "subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived",
    }  # fmt: skip
    assert min(statuses.values()) > 50
    assert sum(member["compliance"] == "true" for member in customers) > 50
    assert sum(member["forgotten"] == "true" for member in customers) > 20
    assert len({member["email"].lower() for member in audience}) == len(audience)
