"""The page in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.sandbox.driver import Sandbox, person

pytestmark = pytest.mark.ui

SCRIPT = "<script>document.title = 'hacked'</script><img src=x onerror=\"document.title = 'hacked'\">"


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


def test_page_follows(sandbox: Sandbox, page: Page) -> None:
    """The page shows a new member, its tag and a batch without being loaded again."""
    page.goto(sandbox.url)
    expect(page.get_by_text("No member yet.")).to_be_visible()
    sandbox.subscribe(person("ada@people.example", tags=["VIP"]))
    expect(page.get_by_role("cell", name="ada@people.example")).to_be_visible()
    expect(page.get_by_role("row", name="VIP 1", exact=True)).to_be_visible()
    batch = sandbox.run_batch({"method": "GET", "path": "/ping"})
    expect(page.get_by_role("row", name=f"{batch['id']} finished 1 / 1 0")).to_be_visible()


def test_page_escapes(sandbox: Sandbox, page: Page) -> None:
    """HTML in a name or a tag is shown as text, and is never run."""
    sandbox.put({"email": "ada@people.example", "status": "subscribed", "fname": SCRIPT, "tags": [SCRIPT]})
    page.goto(sandbox.url)
    expect(page.get_by_text(SCRIPT).first).to_be_visible()
    assert page.title() == "Mailchimp sandbox"
    assert page.locator("main img, main script").count() == 0
