"""The page, and what it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from tests.kit.waiting import PATIENCE
from tests.sandbox.customer_insights.driver import PROFILES, Insights

SCRIPT = "<script>document.title = 'hacked'</script>"


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of the browser that is installed."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_overview(insights: Insights) -> None:
    """Segments are counted with their rules, and members are shown with masked addresses."""
    insights.get(f"{PROFILES}?$top=3")
    found = insights.control("overview")
    assert {one["name"]: one["members"] for one in found["segments"]} == {
        name: len(insights.members(name)) for name in ("VIP", "Newsletter", "Recent_buyers")
    }
    assert found["segments"][1]["rule"] == "newsletter_opt_in"
    assert (found["profiles"], found["rows"], found["refreshes"]) == (200, 3, 0)
    assert len(found["members"]) == 12
    assert {one["email"] for one in found["members"]} == {"pe…@people.example"}
    again = insights.control("overview")
    assert (again["segments"], again["members"]) == (found["segments"], found["members"])


def test_overview_follows_changes(insights: Insights) -> None:
    """A refresh, and a row that is changed, are seen at once; so is a member without a profile."""
    insights.control("refresh", {"leave": 1})
    insights.control("memberships", {"rows": [{"customer_id": "f" * 32, "segments": ["New"]}]})
    found = insights.control("overview")
    assert [(one["name"], one["members"]) for one in found["segments"]] == [
        ("VIP", 0), ("Newsletter", 0), ("Recent_buyers", 0), ("New", 1),
    ]  # fmt: skip
    assert found["members"] == [{"id": "f" * 32, "segments": ["New"], "email": ""}]
    assert found["refreshes"] == 1


def test_page_runs_no_script_but_its_own(insights: Insights) -> None:
    """The page comes with a policy that lets nothing else run."""
    answer = requests.get(insights.url, timeout=PATIENCE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<title>Customer Insights sandbox</title>" in answer.text


@pytest.mark.ui
def test_page_follows(insights: Insights, page: Page) -> None:
    """The page shows segments and members as they change, and shows HTML in a name as text."""
    page.goto(insights.url)
    expect(page.get_by_role("row", name="VIP loyalty_tier = 'platinum'")).to_be_visible()
    insights.control("refresh", {"leave": 1})
    expect(page.get_by_text("No member yet.")).to_be_visible()
    insights.control("memberships", {"rows": [{"customer_id": "f" * 32, "segments": [SCRIPT]}]})
    expect(page.get_by_text(SCRIPT).first).to_be_visible()
    assert page.title() == "Customer Insights sandbox"
