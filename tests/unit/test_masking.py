"""What may be told of where a row is."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.masking import masked_place

ID = "ce759201f786d590bf2134bff576c369"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (f"msdynci_customerid {ID}", f"msdynci_customerid {ID}"),
        (f"msdynci_customerid {ID}-us1", "msdynci_customerid <key>"),
        (f"{ID}-us1", "<key>"),
        ("ann@example.org:7", "<address>:7"),
        ("people.csv:7", "people.csv:7"),
    ],
)
def test_places(place: str, told: str) -> None:
    """Keys and addresses are masked; a row's number and a profile's id lead to it, and stay."""
    assert masked_place(place) == told
