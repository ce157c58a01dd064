"""Pages of rows, and the links between them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.sandbox.customer_insights.driver import MEMBERSHIPS, PROFILES, Insights

SELECTED = f"{PROFILES}?$select=msdynci_email"


@pytest.mark.parametrize(("wanted", "rows"), [(70, 70), (150, 150), (5000, 200)])
def test_a_page_has_as_many_rows_as_are_preferred(insights: Insights, wanted: int, rows: int) -> None:
    """The preference sets the size of a page and is confirmed."""
    answer = insights.call(SELECTED, headers={"Prefer": f"odata.maxpagesize={wanted}"})
    assert len(answer.json()["value"]) == rows
    assert answer.headers["Preference-Applied"] == f"odata.maxpagesize={wanted}"
    assert answer.headers["OData-Version"] == "4.0"
    assert answer.headers["Content-Type"] == "application/json; odata.metadata=minimal"


def test_a_page_has_no_more_rows_than_the_limit(insights: Insights) -> None:
    """A larger preference, and none, give pages of the limit."""
    insights.set(page_limit=60)
    for size in (None, 100):
        page = insights.get(SELECTED, size=size)
        assert len(page["value"]) == 60
        assert "@odata.nextLink" in page


def test_links_lead_through_all_rows(insights: Insights) -> None:
    """Whoever follows the links sees every row once, and the last page has no link."""
    pages = list(insights.pages(SELECTED, 70))
    assert [len(page) for page in pages] == [70, 70, 60]
    assert len({row["msdynci_email"] for page in pages for row in page}) == 200


def test_no_empty_page_follows_a_last_page_that_is_full(insights: Insights) -> None:
    """Where the rows fill the last page, it has no link, unless that is switched on."""
    assert [len(page) for page in insights.pages(SELECTED, 100)] == [100, 100]
    insights.set(trailing_page=True)
    assert [len(page) for page in insights.pages(SELECTED, 100)] == [100, 100, 0]


def test_short_and_empty_pages_lead_on(insights: Insights) -> None:
    """Set so, pages hold fewer rows than fit, or none, and yet lead to all rows."""
    insights.set(short_pages=0.8, seed=3)
    pages = [len(page) for page in insights.pages(SELECTED, 20)]
    assert sum(pages) == 200
    assert min(pages[:-1]) < 20
    few = f"{SELECTED}&$filter=msdynci_number le 10"
    pages = [len(page) for page in insights.pages(few, 2)]
    assert (sum(pages), 0 in pages) == (10, True)


def test_links_are_absolute_and_keep_the_options(insights: Insights) -> None:
    """A link has scheme and host, the options of the first call, and an opaque token with the number of the page."""
    query = "$select=msdynci_customerid&$filter=contains(msdynci_segments,'VIP')"
    link = insights.get(f"{MEMBERSHIPS}?{query}", size=5)["@odata.nextLink"]
    assert link.startswith(f"{insights.root}/{MEMBERSHIPS}?$select=msdynci_customerid&$filter=contains(")
    assert "&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22" in link
    assert link.endswith("%22%20istracking=%22False%22%20/%3E")
    second = insights.get(link, size=5)["@odata.nextLink"]
    assert "pagenumber=%223%22" in second
    assert second.count("$skiptoken") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pagenumber=%222%22", "pagenumber=%223%22"),
        ("%252522%252520%25252F", "x%252522%252520%25252F"),
        ("msdynci_email", "msdynci_city"),
        ("%22%20istracking", "%22 istrackin"),
    ],
)
def test_altered_links_are_refused(insights: Insights, old: str, new: str) -> None:
    """A link is good for the query that it was made for, as it is."""
    link = insights.get(SELECTED, size=70)["@odata.nextLink"]
    assert old in link
    assert insights.error(link.replace(old, new))[0] == "0x80041129"


def test_a_link_of_another_table_is_refused_where_its_token_is_not_known(insights: Insights) -> None:
    """A token that the sandbox did not make is refused."""
    assert insights.error(f"{SELECTED}&$skiptoken=nonsense") == (
        "0x80041129",
        "Malformed XML in the Paging Cookie",
    )


def test_links_can_expire(insights: Insights) -> None:
    """Set so, a link works for some time only."""
    insights.set(cookie_lifetime=600)
    link = insights.get(SELECTED, size=70)["@odata.nextLink"]
    assert insights.call(link).status_code == 200
    insights.set(clock_shift=601)
    assert "expired" in insights.error(link)[1]


def test_links_can_name_another_host(insights: Insights) -> None:
    """Links name the host that was called, or the one that is set, as the twin host of an organisation."""
    insights.set(link_host="contoso.api.crm.dynamics.com")
    link = insights.get(SELECTED, size=70)["@odata.nextLink"]
    assert urlsplit(link).netloc == "contoso.api.crm.dynamics.com"


def test_top(insights: Insights) -> None:
    """$top limits the rows and leads nowhere, but is ignored beside a preference."""
    page = insights.get(f"{SELECTED}&$top=3")
    assert (len(page["value"]), "@odata.nextLink" in page) == (3, False)
    assert len(insights.rows(f"{SELECTED}&$top=3", 70)) == 200


def test_count_stops_at_the_limit(insights: Insights) -> None:
    """$count says how many rows there are, but no more than the limit."""
    assert insights.get(f"{SELECTED}&$count=true", size=10)["@odata.count"] == 200
    insights.set(count_limit=150)
    assert insights.get(f"{SELECTED}&$count=true", size=10)["@odata.count"] == 150
    assert insights.call(f"{PROFILES}/$count").content == b"\xef\xbb\xbf150"


@pytest.mark.parametrize(
    ("query", "status", "code", "words"),
    [
        ("$skip=5", 400, "0x80060888", "Skip Clause"),
        (
            "$select=msdynci_nothing",
            400,
            "0x80060888",
            "'msdynci_nothing' on type 'Microsoft.Dynamics.CRM.ms",
        ),
        ("$top=0", 400, "0x80060888", "'0'"),
        ("$top=1&$top=2", 400, "0x80060888", "only once"),
        ("$orderby=msdynci_email", 501, "0x80048d02", "$orderby"),
    ],
)
def test_refused_options(insights: Insights, query: str, status: int, code: str, words: str) -> None:
    """What Dataverse refuses is refused in its words; what the sandbox cannot do, it says."""
    found, message = insights.error(f"{PROFILES}?{query}", status)
    assert found == code
    assert words in message


def test_unknown_table(insights: Insights) -> None:
    """A set that is not there is a 404 that names it."""
    assert insights.error("msdynci_nothings", 404) == (
        "0x8006088a",
        "Resource not found for the segment 'msdynci_nothings'.",
    )


def test_long_urls(insights: Insights) -> None:
    """A URL may have so many characters and no more."""
    url = f"{insights.root}/{PROFILES}?$filter=msdynci_email eq '"
    insights.set(url_limit=2000)
    room = 2000 - len(url.replace(" ", "%20").replace("'", "%27")) - len("%27")
    assert insights.call(f"{url}{'x' * room}'".replace(" ", "%20").replace("'", "%27")).status_code == 200
    answer = insights.call(f"{url}{'x' * (room + 1)}'".replace(" ", "%20").replace("'", "%27"))
    assert answer.status_code == 414
