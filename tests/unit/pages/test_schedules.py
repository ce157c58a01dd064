"""When an export runs, in words."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.pages.schedules import AwaitedAsset, schedule_in_words


@pytest.mark.parametrize(
    ("summary", "description", "words"),
    [
        ("0 6 * * *", "At 06:00", "every day at 06:00"),
        ("5 14 * * 1-5", "At 14:05, Monday through Friday", "every working day at 14:05"),
        ("0 6 * * 0", "At 06:00, only on Sunday", "every Sunday at 06:00"),
        ("30 * * * *", "At 30 minutes past the hour", "every hour at :30"),
        ("0 6 1 * *", "At 06:00, on day 1 of the month", "At 06:00, on day 1 of the month"),
        ("0 6 * * 9", "", "0 6 * * 9"),
        ("1 day, 0:00:00", "", "1 day, 0:00:00"),
        ("None", "Never, external triggers only", "by hand"),
        (None, None, "by hand"),
    ],
)
def test_timetables(summary: str | None, description: str | None, words: str) -> None:
    """What is usual has words of its own, everything else those of Airflow."""
    assert schedule_in_words(summary, description) == words


def awaited(*arrived: str, missing: tuple[str, ...] = (), group: str = "segment") -> list[AwaitedAsset]:
    """Assets that a DAG waits for."""
    here = [AwaitedAsset(name, group, arrived=True) for name in arrived]
    return here + [AwaitedAsset(name, group, arrived=False) for name in missing]


@pytest.mark.parametrize(
    ("assets", "words"),
    [
        (awaited(missing=("customer_segments",)), "after each refresh"),
        (awaited(missing=("VIP", "Newsletter")), "after each refresh"),
        (
            awaited("VIP", missing=("Newsletter", "Recent buyers")),
            "after each refresh: waits for 2 of 3, Newsletter and Recent buyers missing",
        ),
        (
            awaited("VIP", "Buyers", missing=("Newsletter",)),
            "after each refresh: waits for 1 of 3, Newsletter missing",
        ),
        (awaited(missing=("orders", "people"), group="asset"), "after orders and people"),
    ],
)
def test_assets(assets: list[AwaitedAsset], words: str) -> None:
    """It says what a DAG still waits for, once something of it is there."""
    assert schedule_in_words("Asset", None, assets) == words
