"""When an export runs, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SEGMENTS = "segment"
"""The group of the assets that a refresh of segments publishes."""

_DAILY = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|\d|1-5)")
_HOURLY = re.compile(r"(\d{1,2}) \* \* \* \*")
_DAYS = {
    "*": "every day", "1-5": "every working day",
    "0": "every Sunday", "1": "every Monday", "2": "every Tuesday", "3": "every Wednesday", "4": "every Thursday",
    "5": "every Friday", "6": "every Saturday", "7": "every Sunday",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AwaitedAsset:
    """An asset that starts a DAG, and whether it was updated since the DAG last ran."""

    name: str
    group: str
    arrived: bool


def schedule_in_words(
    summary: str | None, description: str | None, assets: Sequence[AwaitedAsset] = ()
) -> str:
    """Return when a DAG runs.

    :param summary: what Airflow calls its timetable, which for cron is the expression.
    :param description: how Airflow describes it, where it does.
    :param assets: those that start it.
    """
    if assets:
        return _after(assets)
    if not summary or summary in {"None", "Never, external triggers only"}:
        return "by hand"
    if found := _DAILY.fullmatch(summary):
        minute, hour, days = found.groups()
        return (
            f"{_DAYS.get(days, 'every day')} at {int(hour):02}:{int(minute):02}" if days in _DAYS else summary
        )
    if found := _HOURLY.fullmatch(summary):
        return f"every hour at :{int(found[1]):02}"
    return description or summary


def _after(assets: Sequence[AwaitedAsset]) -> str:
    refresh = all(asset.group == SEGMENTS for asset in assets)
    words = "after each refresh" if refresh else f"after {_and([asset.name for asset in assets])}"
    missing = [asset.name for asset in assets if not asset.arrived]
    if len(assets) == 1 or len(missing) == len(assets):
        return words
    return f"{words}: waits for {len(missing)} of {len(assets)}, {_and(missing)} missing"


def _and(names: Sequence[str]) -> str:
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last
