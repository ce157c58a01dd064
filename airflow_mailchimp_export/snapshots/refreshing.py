"""One refresh: which segments it builds again, and what it comes to once they are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.names import unknown_names
from airflow_mailchimp_export.snapshots.growth import warning_of
from airflow_mailchimp_export.snapshots.manifest import Refresh, Snapshot, new_id
from airflow_mailchimp_export.snapshots.store import Snapshots


@dataclass(frozen=True, slots=True)
class Configured:
    """A segment as it is configured now.

    :param warn_ratio: by which part it may grow or shrink without a warning.
    """

    key: str
    name: str
    warn_ratio: float


@dataclass(frozen=True, slots=True)
class Begun:
    """A refresh that has begun.

    :param as_of: of what moment its profiles are, in ISO 8601: they are read from then on.
    :param keys: the segments that it builds.
    :param earlier: the refresh of which it takes over the others; empty where it builds all.
    """

    refresh: str
    as_of: str
    keys: tuple[str, ...]
    earlier: str = ""


def begin(
    snapshots: Snapshots, segments: Iterable[Configured], chosen: Sequence[str], now: datetime
) -> Begun:
    """Begin a refresh.

    :param chosen: the names of the segments that are built again; none means all.
    :raises ConfigError: there is no such segment, or the others are not there to be taken over.
    """
    keys = {segment.name: segment.key for segment in segments}
    if unknown := unknown_names(chosen, keys):
        raise ConfigError(
            f"There is no segment {', '.join(unknown)} to refresh", f"Choose among {', '.join(keys)}"
        )
    built = [key for name, key in keys.items() if not chosen or name in chosen]
    earlier = _earlier(snapshots, {name: key for name, key in keys.items() if key not in built})
    return Begun(new_id(now), now.isoformat(timespec="milliseconds"), tuple(built), earlier)


def _earlier(snapshots: Snapshots, others: Mapping[str, str]) -> str:
    if not others:
        return ""
    remedy = "Trigger the refresh for all segments"
    newest = snapshots.newest()
    if newest is None:
        raise ConfigError(
            "Only some segments are to be refreshed, and no refresh is finished yet that has the others",
            remedy,
        )
    if lacking := [name for name, key in others.items() if key not in newest.by_key]:
        raise ConfigError(
            f"Only some segments are to be refreshed, and the last refresh, {newest.id}, does not have "
            f"{', '.join(lacking)}",
            f"{remedy}, or choose these too",
        )
    return newest.id


@dataclass(frozen=True, slots=True)
class Ended:
    """How a refresh ended.

    :param run: which run of which DAG it is.
    :param exported_by: the run that exports it to everybody by itself; empty for none.
    """

    run: str
    at: datetime
    exported_by: str = ""


def finish(
    snapshots: Snapshots,
    begun: Begun,
    built: Iterable[Snapshot],
    segments: Iterable[Configured],
    ended: Ended,
) -> Refresh:
    """Write down that a refresh is whole, with what has changed so much that somebody should look at it.

    :raises ConfigError: a file of it is not there.
    """
    newest = snapshots.newest()
    known = newest.by_key if newest else {}
    there = {snapshot.key: snapshot for snapshot in built}
    taken_over = snapshots.read(begun.earlier).by_key if begun.earlier else {}
    whole = [
        _judged(there[segment.key], segment, known.get(segment.key))
        if segment.key in there
        else replace(taken_over[segment.key], name=segment.name, warning="")
        for segment in segments
    ]
    refresh = Refresh(
        id=begun.refresh,
        as_of=begun.as_of,
        run=ended.run,
        segments=tuple(whole),
        finished_at=ended.at.isoformat(),
        rebuilt=begun.keys,
        exported_by=ended.exported_by,
    )
    snapshots.finish(refresh)
    return refresh


def _judged(snapshot: Snapshot, segment: Configured, before: Snapshot | None) -> Snapshot:
    rows = before.rows if before else None
    warning = warning_of(segment.name, snapshot.rows, rows, ratio=segment.warn_ratio)
    return replace(snapshot, name=segment.name, warning=warning)
