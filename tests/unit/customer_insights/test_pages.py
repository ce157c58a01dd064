"""Pages are followed to the last one, to the organisation only, and never in a circle."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.customer_insights import pages
from airflow_mailchimp_export.customer_insights.pages import check_link, follow, read_page
from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.hosts import HostRules
from airflow_mailchimp_export.settings.organisation import parse_organisation

HOME = parse_organisation("https://contoso.crm4.dynamics.com", rules=HostRules()).origins
ROOT = "https://contoso.crm4.dynamics.com/api/data/v9.2/sets"


def read(chain: dict[str, tuple[list[Any], str | None]], first: str = ROOT) -> list[Any]:
    """Follow links from the first page."""
    return [row for rows in follow(first, chain.__getitem__, HOME) for row in rows]


def test_the_last_page_is_the_one_without_a_link() -> None:
    """Short and empty pages that have a link are not the last."""
    chain = {ROOT: ([1], f"{ROOT}?2"), f"{ROOT}?2": ([], f"{ROOT}?3"), f"{ROOT}?3": ([2, 3], None)}
    assert read(chain) == [1, 2, 3]


def test_a_link_is_followed_as_it_is() -> None:
    """Escapes and quotes in it stay as the server wrote them."""
    odd = f"{ROOT}?$skiptoken=%3Ccookie%20pagenumber=%222%22%20x='y'%2f%3E"
    assert read({ROOT: ([], odd), odd: ([1], None)}) == [1]


def test_a_circle_ends_with_an_error() -> None:
    """A page that leads back is not asked for again."""
    with pytest.raises(SourceError, match="circle"):
        read({ROOT: ([1], f"{ROOT}?2"), f"{ROOT}?2": ([2], ROOT)})


def test_endless_empty_pages_end_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives ever new links to nothing is not asked for ever."""
    monkeypatch.setattr(pages, "MAX_EMPTY_PAGES", 3)
    with pytest.raises(SourceError, match="3 empty pages in a row"):
        list(follow(ROOT, lambda url: ([], f"{url}x"), HOME))


@pytest.mark.parametrize(
    "link",
    [
        f"{ROOT}?x",
        "https://contoso.api.crm4.dynamics.com/api/data/v9.2/sets?x",
        "https://contoso.crm4.dynamics.com:443/api/data/v9.1/sets",
    ],
)
def test_links_home(link: str) -> None:
    """Both names of the organisation, and any version of its API, are home."""
    check_link(link, HOME)


@pytest.mark.parametrize(
    "link",
    [
        "https://attacker.example/api/data/v9.2/sets",
        "http://contoso.crm4.dynamics.com/api/data/v9.2/sets",
        "https://contoso.crm4.dynamics.com:8443/api/data/v9.2/sets",
        "https://contoso.crm4.dynamics.com@attacker.example/api/data/v9.2/sets",
        "https://user@contoso.crm4.dynamics.com/api/data/v9.2/sets",
        "https://fabrikam.crm4.dynamics.com/api/data/v9.2/sets",
        "https://contoso.crm4.dynamics.com.attacker.example/api/data/v9.2/sets",
        "https://contoso.crm4.dynamics.com/other/sets",
        "https://contoso.crm4.dynamics.com/api/data/../../other",
        "https://contoso.crm4.dynamics.com\\@attacker.example/api/data/v9.2/sets",
        "https://contoso.crm4.dynamics.com:port/api/data/v9.2/sets",
        "//attacker.example/api/data/v9.2/sets",
        "/api/data/v9.2/sets",
        "",
        "https://contoso.crm4.dynamics.com/api/data/v9.2/sets\r\nX: y",
    ],
)
def test_links_elsewhere(link: str) -> None:
    """The token goes to no other host, scheme, port or path."""
    with pytest.raises(SourceError, match="another place"):
        check_link(link, HOME)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"value": None},
        {"value": {}},
        {"value": [1]},
        {"value": [], "@odata.nextLink": 5},
        {"value": [], "@nextLink": ROOT},
        {"value": [], "odata.nextLink": ROOT},
        {"value": [], "@odata.nextlink": ROOT},
        [],
        "text",
        None,
    ],
)
def test_what_is_no_page(payload: Any) -> None:
    """An answer without a list of rows is no empty page, and one whose link has another name is not the last."""
    with pytest.raises((TypeError, KeyError, AttributeError)):
        read_page(payload)
