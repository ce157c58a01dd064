"""Members beside their profiles: who is missing, who comes twice, and what Customer Insights counts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.settings.insights_segments import InsightsSpec, ProfileRead
from airflow_mailchimp_export.sources.insights_checks import Wanted
from airflow_mailchimp_export.sources.insights_reading import Reading
from tests.kit.fake_reader import MEMBERSHIP, PROFILE, FakeReader

CATALOG = {"mscipriv_name": "String", "mscipriv_membercount": "Integer"}


def member(customer: str, *segments: str) -> dict[str, Any]:
    """A row of memberships."""
    names = ",".join(f'"{name}"' for name in segments)
    return {"msdynci_customerid": customer, "msdynci_segments": f'{{"Segments":[{names}]}}'}


def profile(customer: str, email: str, **more: Any) -> dict[str, Any]:
    """A row of profiles."""
    return {"msdynci_customerid": customer, "msdynci_email": email, **more}


def organisation(members: list[Any], profiles: list[list[Any]], counts: int | None = None) -> FakeReader:
    """An organisation; ``counts`` is what it keeps of the segment VIP."""
    tables = {"msdynci_segmentmembership": MEMBERSHIP, "msdynci_customerprofile": PROFILE}
    catalog = [{"mscipriv_name": "VIP", "mscipriv_membercount": counts}]
    return FakeReader(
        tables={**tables, **({"mscipriv_segmentmetadata": CATALOG} if counts is not None else {})},
        rows={
            "msdynci_segmentmemberships": [members],
            "msdynci_customerprofiles": profiles,
            "mscipriv_segmentmetadatas": [catalog],
        },
    )


def read(reader: FakeReader, folder: Path, **options: Any) -> list[str | None]:
    """Read the addresses of the segment VIP, by one reading of all profiles."""
    spec = InsightsSpec("ci", "VIP", **{"profile_read": ProfileRead.SCAN, **options})
    folder.mkdir(exist_ok=True)
    (file,) = Reading(reader, ["msdynci_email"]).write([Wanted("Best", spec)], folder)
    addresses: list[str | None] = pq.read_table(file).column("column_0").to_pylist()
    return addresses


def test_a_customer_with_several_memberships_comes_once(tmp_path: Path) -> None:
    """Providers write a row each, and only one of them may name the segment."""
    members = [member("1", "VIP"), member("1", "VIP", "Other"), member("2", "Other"), member("2", "VIP")]
    reader = organisation(members, [[profile("1", "a@x"), profile("2", "b@x"), profile("3", "c@x")]])
    assert read(reader, tmp_path) == ["a@x", "b@x"]


@pytest.mark.parametrize(
    ("rows", "newest", "told"),
    [
        ([{"versionnumber": 2}, {"versionnumber": 1}], "first@x", "rows of several profiles"),
        ([{}, {}], "second@x", "rows of several profiles"),
        (
            [
                {"msdynci_customerprofileid": "p", "versionnumber": 1},
                {"msdynci_customerprofileid": "p", "versionnumber": 2},
            ],
            "second@x",
            "the same row twice",
        ),
        (
            [{"msdynci_customerprofileid": "p"}, {"msdynci_customerprofileid": "q"}],
            "second@x",
            "rows of several profiles",
        ),
    ],
)
def test_the_newest_of_several_rows_counts(
    rows: list[dict[str, Any]], newest: str, told: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By its version where that is told, else the one that was read last; the log says that there were several."""
    pages = [[profile("1", "first@x", **rows[0])], [profile("1", "second@x", **rows[1])]]
    with caplog.at_level(logging.WARNING):
        assert read(organisation([member("1", "VIP")], pages), tmp_path) == [newest]
    assert f"1 customers came with {told}" in caplog.text


def test_fewer_members_than_customer_insights_counts(tmp_path: Path) -> None:
    """Whom the user does not see is missed, where Customer Insights tells how many there are."""
    people = [[profile("1", "a@x")]]
    with pytest.raises(SourceError, match="counts 3 members of 'VIP', and only 1 can be read"):
        read(organisation([member("1", "VIP")], people, counts=3), tmp_path)
    assert read(
        organisation([member("1", "VIP")], people, counts=3), tmp_path / "b", max_missing_profiles=2
    ) == ["a@x"]


def test_an_empty_segment_is_to_be_expected(tmp_path: Path) -> None:
    """Only the export says that nobody need be in it: a count of Customer Insights is of a column that was guessed."""
    nobody = organisation([member("1", "Other")], [[]], counts=0)
    with pytest.raises(SourceError, match=r"nobody is in segment 'VIP' .*"):
        read(nobody, tmp_path)
    assert read(nobody, tmp_path / "b", may_be_empty=True) == []


def test_missing_profiles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As many as are allowed are left out with a warning, by share and by number."""
    members = [member(str(number), "VIP") for number in range(10)]
    people = [[profile(str(number), "a@x") for number in range(8)]]
    for few in (0, 0.1, 0.19, 1):
        with pytest.raises(SourceError, match="2 of 10 members have no profile"):
            read(organisation(members, people), tmp_path / str(few), max_missing_profiles=few)
    for enough in (0.2, 2, 100):
        found = read(organisation(members, people), tmp_path / str(enough), max_missing_profiles=enough)
        assert len(found) == 8
    assert "2 of 10 members have no profile yet" in caplog.text


def test_a_row_that_a_page_has_lost(tmp_path: Path) -> None:
    """Whoever is missing after a reading of all is asked for by id."""
    reader = organisation(
        [member("1", "VIP"), member("2", "VIP")], [[profile("1", "a@x"), profile("2", "b@x")]]
    )
    reader.lost = ("2",)
    assert read(reader, tmp_path, max_missing_profiles=0) == ["a@x", "b@x"]
    assert reader.asked[-1].endswith("$filter=msdynci_customerid%20eq%20'2'")


def test_tables_of_something_else(tmp_path: Path) -> None:
    """An organisation without Customer Insights is told by the columns that it lacks."""
    tables = {"msdynci_segmentmembership": {"other": "String"}, "msdynci_customerprofile": PROFILE}
    with pytest.raises(ConfigError, match="Table msdynci_segmentmembership has not the columns"):
        Reading(FakeReader(tables=tables), ["msdynci_email"])
