"""Which refresh an export reads that was started by refreshes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.snapshots.choosing import segments_of, started_by
from airflow_mailchimp_export.snapshots.manifest import Refresh, Snapshot, new_id
from airflow_mailchimp_export.snapshots.store import Snapshots

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    """No refresh yet."""
    return Snapshots(tmp_path)


def refreshed(snapshots: Snapshots, minute: int) -> Refresh:
    """Write a refresh that was begun at this minute, and finished five minutes later."""
    begun = NOON + timedelta(minutes=minute)
    refresh = new_id(begun)
    with snapshots.writing(refresh, "vip") as draft:
        draft.write_bytes(b"rows")
    segment = Snapshot("vip", "VIP", refresh, 1, 4, {"decimal": ","})
    whole = Refresh(
        refresh, begun.isoformat(), "dag.run", (segment,), (begun + timedelta(minutes=5)).isoformat()
    )
    snapshots.finish(whole)
    return whole


def chosen(snapshots: Snapshots, *told: Any, minute: int) -> Refresh:
    """Choose for a run that began at this minute, with events that tell of these refreshes."""
    extras = [{"refresh": one.id} if isinstance(one, Refresh) else one for one in told]
    return started_by(snapshots, extras, NOON + timedelta(minutes=minute))


def test_a_refresh_is_exported_whatever_comes_after_it(snapshots: Snapshots) -> None:
    """What is finished only after the run began is not read by it, however late its task comes."""
    first, second = refreshed(snapshots, 0), refreshed(snapshots, 10)
    assert chosen(snapshots, first, minute=6) == first
    assert chosen(snapshots, first, minute=14) == first
    assert chosen(snapshots, second, minute=16) == second


def test_of_refreshes_that_have_waited_the_newest(snapshots: Snapshots) -> None:
    """Airflow starts one run for them, and hands over the first alone: the others would never be exported."""
    first, _, third = (refreshed(snapshots, minute) for minute in (0, 10, 20))
    assert chosen(snapshots, first, minute=26) == third
    assert chosen(snapshots, third, first, minute=26) == third


def test_clocks_that_differ(snapshots: Snapshots) -> None:
    """The refresh that the event tells of is read, also where it seems to be finished only after the run began."""
    _, second = refreshed(snapshots, 0), refreshed(snapshots, 10)
    assert chosen(snapshots, second, minute=14) == second


@pytest.mark.parametrize("extra", [{}, {"from_rest_api": True}, {"refresh": None}])
def test_events_that_tell_of_no_refresh(snapshots: Snapshots, extra: dict[str, Any]) -> None:
    """Somebody has made it by hand, or an earlier release: the newest refresh is meant."""
    with pytest.raises(ConfigError, match="No refresh of the segments is finished yet"):
        chosen(snapshots, extra, minute=0)
    first = refreshed(snapshots, 0)
    assert chosen(snapshots, extra, minute=6) == first


@pytest.mark.parametrize("name", ["20260110T130000.000Z-00000000", "s3://elsewhere/refresh"])
def test_a_refresh_that_is_gone(snapshots: Snapshots, name: str) -> None:
    """It is not replaced by an older one, and nothing is read outside of the folder."""
    refreshed(snapshots, 0)
    with pytest.raises(ConfigError, match="There is no finished refresh"):
        chosen(snapshots, {"refresh": name}, minute=90)


def test_where_segments_are(snapshots: Snapshots) -> None:
    """Each is a file of the refresh, with how its values are spelled; one that it has not is told."""
    refresh = refreshed(snapshots, 0)
    assert segments_of(snapshots, refresh, {"vip": "Best"}) == {
        "Best": {"uri": f"{snapshots.uri}/{refresh.id}/vip.parquet", "decimal": ","}
    }
    with pytest.raises(ConfigError, match=f"Segment 'New' is not in refresh {refresh.id}"):
        segments_of(snapshots, refresh, {"vip": "VIP", "new": "New"})
