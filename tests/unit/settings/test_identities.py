"""What a yes stands for where nobody tells whether data have changed."""

from __future__ import annotations

from airflow_mailchimp_export.settings.approval import digest_of
from airflow_mailchimp_export.settings.identities import of_any_reading, of_one_reading


def test_each_reading_differs() -> None:
    """No reading of the same is taken for another."""
    first, second = of_one_reading("SELECT"), of_one_reading("SELECT")
    assert first != second
    assert of_any_reading(first) == of_any_reading(second) == "SELECT"


def test_what_is_approved() -> None:
    """A second reading of the same query is what was approved; another query, or another file, is not."""
    approved = digest_of([of_one_reading("SELECT 1"), "vip.parquet|7|1"])
    assert digest_of([of_one_reading("SELECT 1"), "vip.parquet|7|1"]) == approved
    assert digest_of([of_one_reading("SELECT 2"), "vip.parquet|7|1"]) != approved
    assert digest_of([of_one_reading("SELECT 1"), "vip.parquet|7|2"]) != approved
