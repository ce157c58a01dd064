"""How often something happened in a row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from airflow_mailchimp_export.delivery.streak import Streak


def test_too_many_in_a_row() -> None:
    """Three are too many where three are, and so is each further one."""
    streak = Streak(3)
    assert [streak.extend() for _ in range(4)] == [False, False, True, True]


def test_another_end() -> None:
    """What happens between begins the row again."""
    streak = Streak(2)
    assert not streak.extend()
    streak.end()
    assert [streak.extend(), streak.extend()] == [False, True]


def test_many_threads() -> None:
    """However many threads count, each one is counted once."""
    streak = Streak(901)
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _: streak.extend(), range(1000))) == 100
