"""Where a browser shows what an export has done."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.settings.pages import AccountPlace


@pytest.mark.parametrize("prefix", [None, "us6"])
def test_mailchimps_own_pages(prefix: str | None) -> None:
    """Of Mailchimp's own hosts the name says the data center; an audience has its page by its web id."""
    place = AccountPlace.at("https://us21.api.mailchimp.com/3.0", prefix)
    assert place.data_center == "us21"
    assert place.audience_page(4711) == "https://us21.admin.mailchimp.com/lists/members/?id=4711"
    assert place.audience_page(0) == ""


@pytest.mark.parametrize(("prefix", "data_center"), [("us0", "us0"), (None, "127.0.0.1:8080")])
def test_other_hosts(prefix: str | None, data_center: str) -> None:
    """Of another host, such as the sandbox, there is the page that it begins with."""
    place = AccountPlace.at("http://127.0.0.1:8080/3.0", prefix)
    assert (place.data_center, place.audience_page(4711)) == (data_center, "http://127.0.0.1:8080/")


def test_nowhere() -> None:
    """Where nobody knows the host there is no page."""
    assert AccountPlace().audience_page(4711) == ""
