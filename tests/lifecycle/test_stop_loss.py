"""Nobody is removed by accident: what stops a run by which too many would leave, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
    RemovalLimitExceeded,
    SourceError,
    TooManyRejects,
)
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.options import OnLeave
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import PLAN, REPORT
from tests.kit.life import Life, changing
from tests.kit.people import people

TEN = [f"p{number}@brieftaube.eu" for number in range(10)]
NEW = "new@brieftaube.eu"


CROWD = [f"p{number:04}@brieftaube.eu" for number in range(1000)]


@pytest.fixture
def life(life: Life) -> Life:
    """An export without a number of people who may always be removed."""
    life.options = {"removal_floor": 0}
    return life


def stopped(life: Life, segments: Any, error: type[ExportError] = RemovalLimitExceeded, **how: Any) -> str:
    """Run an export that is stopped before anything is sent; return what it said."""
    before, ledger = life.audience(), life.folder.read(LEDGER)
    with life.watched() as seen, pytest.raises(error) as caught:
        life.run(segments, **how)
    assert changing(seen) == []
    assert (life.audience(), life.folder.read(LEDGER)) == (before, ledger)
    report = Report.from_json(life.folder.read(f"run{life.runs}/{REPORT}"))
    assert (report.verdict, report.error) == (Verdict.FAILED, caught.value.happened)
    assert report.counts.adds_up
    assert not life.folder.exists(LOCK)
    return str(caught.value)


@pytest.mark.parametrize("delivery", Delivery)
def test_too_many_would_leave(life: Life, delivery: Delivery) -> None:
    """More than max_removal_ratio: nobody is removed and nobody is sent, and the message says how to allow it once."""
    life.run({"A": people(*TEN)}, delivery=delivery)
    words = stopped(life, {"A": people(*TEN[:6], NEW)}, delivery=delivery)
    assert words == (
        "Too many people would be removed: tag 'A' 4 of 10 people (40%); max_removal_ratio allows 30% of each tag "
        "and of all. Nothing was sent. Correct the source if people are missing there; if all of them have really "
        'left, allow it once with max_removal_ratio=0.4 (in the form: "Stop when more would leave")'
    )


@pytest.mark.parametrize(("ratio", "left"), [(0.3, 3), (0.0, 0), (0.1, 1), (1.0, 9)])
def test_exactly_so_many_may_leave(life: Life, ratio: float, left: int) -> None:
    """As many as max_removal_ratio allows leave; with one more, nobody does."""
    life.run({"A": people(*TEN)})
    if left < 9:
        stopped(life, {"A": people(*TEN[left + 1 :])}, max_removal_ratio=ratio)
    assert life.run({"A": people(*TEN[left:])}, max_removal_ratio=ratio).counts.removed == left


def test_what_the_message_offers_is_enough(life: Life) -> None:
    """With the ratio that the message names, the run goes through."""
    crowd = [f"p{number}@brieftaube.eu" for number in range(30)]
    life.run({"A": people(*crowd)})
    words = stopped(life, {"A": people(*crowd[11:])})
    ratio = float(words.rpartition("max_removal_ratio=")[2].split()[0])
    assert life.run({"A": people(*crowd[11:])}, max_removal_ratio=ratio).counts.removed == 11


def test_a_lost_tag_counts_like_a_lost_person(life: Life) -> None:
    """Who loses one of two tags counts as well, and each person once."""
    life.run({"A": people(*TEN), "B": people(*TEN)})
    assert stopped(life, {"A": people(*TEN[4:]), "B": people(*TEN[4:])}).startswith(
        "Too many people would be removed: tag 'A' 4 of 10 people (40%); tag 'B' 4 of 10 people (40%);"
    )


@pytest.mark.parametrize("on_leave", [OnLeave.UNTAG, OnLeave.ARCHIVE])
def test_an_emptied_segment(life: Life, on_leave: OnLeave) -> None:
    """A segment that had people and has nobody now stops the run by itself, however few they were."""
    life.run({"A": people(*TEN), "B": people(TEN[0])})
    words = stopped(life, {"A": people(*TEN), "B": people()}, on_leave=on_leave, max_removal_ratio=0.99)
    assert words == (
        "Too many people would be removed: tag 'B' 1 of 1 people (100%, its segment has no rows now); "
        "max_removal_ratio allows 99% of each tag and of all. Nothing was sent. Correct the source if people are "
        "missing there; if all of them have really left, allow it once with max_removal_ratio=1 "
        '(in the form: "Stop when more would leave")'
    )
    life.run({"A": people(*TEN), "B": people()}, on_leave=on_leave, max_removal_ratio=1)
    assert life.tags(TEN[0]) == {"A"}


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_a_segment_without_a_usable_address(life: Life, ratio: float) -> None:
    """Rows that are there without a usable address are a wrong column, not people who left, whatever may leave."""
    life.run({"A": people(*TEN), "B": people(TEN[0])})
    words = stopped(
        life, {"A": people(*TEN), "B": people("no address", None)}, ConfigError, max_removal_ratio=ratio
    )
    assert words == (
        "No row has a usable address in column 'email' (segment 'B': 2 rows), though people carry the segment's "
        "tag. Nothing was sent. Map EMAIL to the column that holds the addresses, or correct the source"
    )


def test_all_addresses_are_unusable(life: Life) -> None:
    """Where nothing but rejects is there, the run is refused for them and lists them, and speaks of no removal."""
    life.run({"A": people(*CROWD)})
    with pytest.raises(TooManyRejects) as caught:
        life.run({"A": people(*(f"customer {number}" for number in range(1000)))})
    assert "removal" not in str(caught.value)
    assert life.folder.read("run2/rejects.csv").count(b"invalid_address") == 1000
    assert life.audience().keys() == set(CROWD)


def test_each_tag_has_its_limit(life: Life) -> None:
    """A small segment that lost nearly all stops the run, though its people are few among all; one message lists it."""
    life.options = {}
    vip = CROWD[:200]
    life.run({"Newsletter": people(*CROWD), "VIP": people(*vip)})
    words = stopped(life, {"Newsletter": people(*CROWD), "VIP": people(*vip[:2])})
    assert words.startswith(
        "Too many people would be removed: tag 'VIP' 198 of 200 people (99%); max_removal_ratio"
    )
    assert "allow it once with max_removal_ratio=0.99 " in words
    report = life.run({"Newsletter": people(*CROWD), "VIP": people(*vip[:2])}, max_removal_ratio=0.99)
    assert report.counts.removed == 198


@pytest.mark.parametrize(("removed", "stops"), [(20, False), (21, True)])
def test_the_floor(life: Life, removed: int, *, stops: bool) -> None:
    """Up to removal_floor people of a tag may always be removed, though that is most of them."""
    life.options = {}
    life.run({"A": people(*CROWD[:25])})
    if stops:
        assert "21 of 25" in stopped(life, {"A": people(*CROWD[removed:25])})
    else:
        assert life.run({"A": people(*CROWD[removed:25])}).counts.removed == 20


def test_returning_people_are_no_loss(life: Life) -> None:
    """People archived by the export who come back into another segment than they had do not count as removed."""
    life.options = {"on_leave": "archive", "removal_floor": 0}
    life.run({"A": people(*TEN), "B": people(*CROWD[:40])})
    life.run({"A": people(), "B": people(*CROWD[10:40])}, max_removal_ratio=1)
    report = life.run({"A": people(), "B": people(*CROWD[:40])})
    assert report.verdict is Verdict.SUCCESS
    assert all(life.audience()[email][0] == "subscribed" for email in CROWD[:10])


def test_renamed_people_are_no_loss(life: Life) -> None:
    """People whose address changed keep their membership, so they do not count as removed."""
    life.options = {"profile_id": "id", "removal_floor": 0}
    ids = [str(number) for number in range(10)]
    life.run({"A": people(*TEN, id=ids)})
    report = life.run({"A": people(*(f"new.{email}" for email in TEN), id=ids)})
    assert report.address_changes["renamed"] == 10


def test_keep_needs_no_limit(life: Life) -> None:
    """Where nobody is removed, an empty segment stops nothing."""
    life.run({"A": people(*TEN)})
    assert life.run({"A": people()}, on_leave=OnLeave.KEEP).counts.removed == 0
    assert all(tags == {"A"} for _, tags in life.audience().values())


def test_a_segment_that_never_had_people(life: Life) -> None:
    """An empty segment that was always empty stops nothing."""
    life.run({"A": people(*TEN), "B": people()})
    assert life.run({"A": people(*TEN), "B": people()}).counts.unchanged == 10


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_a_half_read_source_removes_nobody(life: Life, tmp_path: Path, ratio: float) -> None:
    """A file that breaks half-way ends the run, whatever may leave: nobody is sent and nobody is removed."""
    place = tmp_path / "segment.parquet"
    pq.write_table(people(*TEN), place, row_group_size=1)
    life.run({"A": str(place), "B": people(*TEN)})
    content = bytearray(place.read_bytes())
    with pq.ParquetFile(place) as file:
        page = file.metadata.row_group(5).column(0).data_page_offset
    content[page : page + 20] = b"\xff" * 20
    place.write_bytes(content)
    stopped(life, {"A": str(place), "B": people(*TEN, NEW)}, SourceError, max_removal_ratio=ratio)


def test_a_missing_source_removes_nobody(life: Life, tmp_path: Path) -> None:
    """A segment whose file is gone ends the run before anything is sent."""
    place = tmp_path / "segment.parquet"
    pq.write_table(people(*TEN), place)
    life.run({"A": str(place)})
    place.unlink()
    stopped(life, {"A": str(place)}, SourceError, max_removal_ratio=1)


def test_no_plan_is_left(life: Life) -> None:
    """A run that was stopped leaves no plan that could be gone on with."""
    life.run({"A": people(*TEN)})
    stopped(life, {"A": people(TEN[0])})
    assert not life.folder.exists(f"run2/{PLAN}")
    assert life.run({"A": people(*TEN)}).counts.unchanged == 10
