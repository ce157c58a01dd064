"""What is checked before the first profile leaves."""

from __future__ import annotations

from functools import partial

import pytest

from airflow_mailchimp_export.errors import (
    Allowance,
    AllowedRemoval,
    ConfigError,
    RemovalLimitExceeded,
    TooManyRejects,
)
from airflow_mailchimp_export.planning.guards import (
    RemovalTally,
    UsableRows,
    check_contract,
    check_rejects,
    check_removals,
    check_volume,
)


class TestVolume:
    """``max_profiles``."""

    @pytest.mark.parametrize("rows", [0, 999, 1000])
    def test_up_to_the_limit(self, rows: int) -> None:
        """As many profiles as are allowed pass."""
        check_volume(rows, max_profiles=1000)

    def test_more(self) -> None:
        """One more is an error that says how many there are, how many are allowed, and what to do."""
        with pytest.raises(ConfigError) as error:
            check_volume(1_234_567, max_profiles=1_000_000)
        assert str(error.value) == (
            "The segments hold 1,234,567 profiles, but max_profiles is 1,000,000. Nothing was sent. "
            "Raise max_profiles in options if all of them are meant, or narrow the segments"
        )


class TestContract:
    """``contact_limit``."""

    @pytest.mark.parametrize(("present", "new", "limit"), [(900, 100, 1000), (5000, 5000, None), (0, 0, 0)])
    def test_within(self, present: int, new: int, limit: int | None) -> None:
        """Up to the contract's number, or without one, an export passes."""
        check_contract(present, new, contact_limit=limit)

    def test_past(self) -> None:
        """One contact more is an error that says how many there are and would be, and what to do."""
        with pytest.raises(ConfigError) as error:
            check_contract(900, 1101, contact_limit=2000)
        message = str(error.value)
        assert "holds 900 contacts and 1,101 would be new" in message
        assert "contact_limit of 2,000. Nothing was sent." in message
        assert (
            "raise Contact limit (contact_limit) in the connection, archive contacts in Mailchimp" in message
        )


class TestRejects:
    """``max_reject_ratio``."""

    @pytest.mark.parametrize(
        ("rejected", "people", "ratio"), [(5, 10, 0.5), (0, 0, 0.0), (10, 10, 1.0), (0, 10, 0.0)]
    )
    def test_within(self, rejected: int, people: int, ratio: float) -> None:
        """Up to the allowed part of the profiles may be refused."""
        check_rejects(rejected, people, max_reject_ratio=ratio)

    def test_past(self) -> None:
        """One more is an error that says how many of how many, what is allowed, and where they are listed."""
        with pytest.raises(TooManyRejects) as error:
            check_rejects(1001, 2000, max_reject_ratio=0.5)
        message = str(error.value)
        assert message.startswith("1,001 of 2,000 profiles cannot be sent")
        assert "(50%). Nothing was sent. The run's rejects.csv lists them" in message
        assert "raise max_reject_ratio in options" in message


class TestRemovals:
    """``max_removal_ratio``: what it takes to let a run through is the truth, to the percent."""

    @pytest.mark.parametrize(
        ("total", "tags", "usable", "least"),
        [
            ((57, 100), {"A": (57, 100)}, "A", 0.58),
            ((45, 50), {"A": (45, 50)}, "A", 0.9),
            ((1, 3), {"A": (1, 3)}, "A", 0.34),
            ((3, 1000), {"A": (3, 1000)}, "", 1.0),
            # Each tag of its own would be allowed at 50 %, all of them together only at 59 %.
            ((70, 120), {"A": (50, 100), "B": (20, 20)}, "AB", 0.59),
        ],
    )
    def test_what_lets_it_through(
        self,
        total: tuple[int, int],
        tags: dict[str, tuple[int, int]],
        usable: str,
        least: float,
    ) -> None:
        """The value that the error names passes the same check, and one percent less does not."""
        removals = [RemovalTally("", *total), *(RemovalTally(tag, *counts) for tag, counts in tags.items())]
        segments = [UsableRows(tag, tag, 1, int(tag in usable)) for tag in tags]
        floor = 20 if len(tags) > 1 else 0
        check = partial(check_removals, removals, segments, removal_floor=floor)
        with pytest.raises(RemovalLimitExceeded, match=f"max_removal_ratio={least:g} ") as stopped:
            check(max_removal_ratio=0.0)
        told = tuple(AllowedRemoval(count.tag, count.removed, count.owned) for count in removals)
        assert stopped.value.allow == Allowance("max_removal_ratio", least, told)
        check(max_removal_ratio=least)
        with pytest.raises(RemovalLimitExceeded):
            check(max_removal_ratio=least - 0.01)
