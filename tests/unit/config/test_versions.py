"""A key that the installed Airflow cannot do is refused, with the release that can."""

from __future__ import annotations

import pytest
from packaging.version import Version

from airflow_mailchimp_export.config.mistakes import Problems
from airflow_mailchimp_export.config.versions import APPROVAL, check_need, installed


@pytest.mark.parametrize("release", ["1.9.0", "1.9.0rc1", "1.21.0", "2.0"])
def test_what_is_new_enough_passes(release: str) -> None:
    """The lowest release, its candidates and all later ones have it."""
    there = {"apache-airflow-core": Version("3.1"), "apache-airflow-providers-standard": Version(release)}
    check_need(APPROVAL, found=there.get)


def test_what_is_installed_passes() -> None:
    """The Airflow of the tests has what the keys need."""
    check_need(APPROVAL)
    assert installed("airflow-of-nobody") is None


def test_what_is_too_old_is_told() -> None:
    """Each package is named with the release that has it, and with what is there."""
    there = {"apache-airflow-core": Version("3.0.6")}
    with pytest.raises(Problems) as caught:
        check_need(APPROVAL, found=there.get)
    assert caught.value.problems[0].message == (
        "needs human-in-the-loop operators, of apache-airflow-core 3.1 or later (installed is 3.0.6) and "
        "apache-airflow-providers-standard 1.9 or later (it is not installed): install it, or remove the key"
    )
