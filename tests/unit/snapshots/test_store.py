"""The refreshes that a folder keeps: which are finished, which is the newest, and which may go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from airflow_mailchimp_export.errors import ConfigError, NewerFormat, UnreadableFile
from airflow_mailchimp_export.snapshots.growth import warning_of
from airflow_mailchimp_export.snapshots.manifest import Refresh, Snapshot, begun_at, new_id
from airflow_mailchimp_export.snapshots.store import Snapshots

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture(params=["disk", "elsewhere"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A folder on this machine, or on other storage."""
    root = tmp_path / "snapshots" if request.param == "disk" else UPath(f"memory://{tmp_path.name}/snapshots")
    yield root
    if root.exists() and request.param != "disk":
        root.fs.rm(root.path, recursive=True)


@pytest.fixture
def snapshots(place: Any) -> Snapshots:
    """No refresh yet."""
    return Snapshots(place)


def refresh_moment(hour: int) -> str:
    """Return when a refresh of this hour was finished."""
    return (NOON + timedelta(hours=hour, minutes=10)).isoformat()


def written(snapshots: Snapshots, hour: int, **of_earlier: str) -> Refresh:
    """Write a refresh of this hour, with a segment of its own.

    :param of_earlier: further segments, and the refreshes that have built them.
    """
    refresh = new_id(NOON + timedelta(hours=hour))
    for key in ("vip", "buyers"):
        with snapshots.writing(refresh, key) as draft:
            draft.write_bytes(b"rows")
    segments = [
        Snapshot("vip", "VIP", refresh, 3, 4),
        *(Snapshot(key, key, one, 1, 4) for key, one in of_earlier.items()),
    ]
    whole = Refresh(
        refresh, "2026-01-10T12:00:00+00:00", "dag.run", tuple(segments), refresh_moment(hour), ("vip",)
    )
    snapshots.finish(whole)
    return whole


def test_the_newest_that_is_finished(snapshots: Snapshots) -> None:
    """A refresh that is still being built, or never ended, is none; neither is what the last release left there."""
    with pytest.raises(ConfigError, match=r"No refresh .* is finished yet.* Trigger the DAG"):
        snapshots.required()
    first, second = written(snapshots, 0), written(snapshots, 1)
    with snapshots.writing(new_id(NOON + timedelta(hours=2)), "vip") as draft:
        draft.write_bytes(b"rows")
    snapshots._root.put("vip.parquet", b"flat, by the last release")
    assert snapshots.newest() == snapshots.required() == second
    assert [*snapshots.finished()] == [second.id, first.id]
    assert snapshots.read(first.id) == first


def test_finished_refreshes_do_not_change(snapshots: Snapshots) -> None:
    """An export may be reading them."""
    refresh = written(snapshots, 0)
    with (
        pytest.raises(ConfigError, match="is finished, and exports may be reading it"),
        snapshots.writing(refresh.id, "vip"),
    ):
        pytest.fail("nothing is lent")


def test_an_error_leaves_no_file(snapshots: Snapshots) -> None:
    """A segment is written whole or not at all."""
    refresh = new_id(NOON)
    with suppress(ZeroDivisionError), snapshots.writing(refresh, "vip") as draft:
        draft.write_bytes(b"half")
        raise ZeroDivisionError
    assert not snapshots._root.exists(f"{refresh}/vip.parquet")
    with pytest.raises(ConfigError, match="lacks the files of VIP"):
        snapshots.finish(Refresh(refresh, "", "", (Snapshot("vip", "VIP", refresh, 1, 1),), ""))
    assert not snapshots.is_finished(refresh)


@pytest.mark.parametrize("name", ["20260101T000000.000Z-00000000", "../elsewhere", ""])
def test_a_refresh_that_is_not_there(snapshots: Snapshots, name: str) -> None:
    """Whatever is asked for, nothing outside of the folder is looked at."""
    with pytest.raises(ConfigError, match="There is no finished refresh"):
        snapshots.read(name)


def test_manifests_of_others(snapshots: Snapshots) -> None:
    """A damaged one and one of a newer release are told, never taken for something else."""
    refresh = written(snapshots, 0)
    snapshots._root.put(f"{refresh.id}/refresh.json", b'{"format": 1, "id":')
    with pytest.raises(UnreadableFile, match=r"refresh\.json is damaged"):
        snapshots.newest()
    snapshots._root.put(f"{refresh.id}/refresh.json", b'{"format": 9}')
    with pytest.raises(NewerFormat):
        snapshots.newest()


class TestTidying:
    """What becomes of old refreshes."""

    def test_the_last_few_stay(self, snapshots: Snapshots) -> None:
        """The others go, finished or not, once nobody can be reading them any more."""
        old = [written(snapshots, hour) for hour in range(4)]
        unfinished = new_id(NOON)
        with snapshots.writing(unfinished, "vip") as draft:
            draft.write_bytes(b"rows")
        assert snapshots.tidy(keep=2, keep_hours=24, now=NOON + timedelta(hours=20)) == []
        removed = snapshots.tidy(keep=2, keep_hours=24, now=NOON + timedelta(hours=40))
        assert sorted(removed) == sorted([old[0].id, old[1].id, unfinished])
        assert [*snapshots.finished()] == [old[3].id, old[2].id]
        assert set(snapshots._root.names()) == {old[2].id, old[3].id}

    def test_those_whose_segments_others_have_taken_over_stay(self, snapshots: Snapshots) -> None:
        """A refresh of one segment has the other segments where they were built."""
        first = written(snapshots, 0)
        written(snapshots, 1)
        last = written(snapshots, 2, buyers=first.id)
        snapshots.tidy(keep=1, keep_hours=0, now=NOON + timedelta(hours=40))
        assert set(snapshots._root.names()) == {first.id, last.id}

    def test_what_a_young_one_has_taken_over_stays_with_it(self, snapshots: Snapshots) -> None:
        """An export may still read it, though newer ones are kept in any case."""
        first = written(snapshots, 0)
        young = written(snapshots, 30, buyers=first.id)
        last = written(snapshots, 31)
        assert snapshots.tidy(keep=1, keep_hours=24, now=NOON + timedelta(hours=40)) == []
        assert snapshots.tidy(keep=1, keep_hours=24, now=NOON + timedelta(hours=60)) == [young.id, first.id]
        assert set(snapshots._root.names()) == {last.id}


def test_names_are_in_order_of_time() -> None:
    """A refresh tells when it began."""
    ids = [new_id(NOON + timedelta(seconds=second)) for second in range(3)]
    assert ids == sorted(ids)
    assert begun_at(ids[1]) == NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("rows", "before", "told"),
    [
        (100, None, ""),
        (150, 100, ""),
        (50, 100, ""),
        (0, 0, ""),
        (151, 100, "Segment 'VIP' grew by 51%, from 100 to 151 profiles (warn_ratio allows 50%)"),
        (0, 1000, "Segment 'VIP' shrank by 100%, from 1,000 to 0 profiles (warn_ratio allows 50%)"),
        (5, 0, "Segment 'VIP' grew, from 0 to 5 profiles (warn_ratio allows 50%)"),
    ],
)
def test_growth(rows: int, before: int | None, told: str) -> None:
    """Somebody is to look at a segment that changed too much since the last time."""
    assert warning_of("VIP", rows, before, ratio=0.5) == told
