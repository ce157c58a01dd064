"""What happens on the page of a run while it is at work and afterwards, and who gets there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import requests

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.airflow.releases import RELEASE
from tests.live_airflow import EXPORT, until
from tests.ui.places import EXPORTS, built, run_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = built

SLOW = 6.0
"""Seconds that each call takes, so that there is a while to see a run at work."""


def test_a_run_is_watched_cancelled_and_tried_again(
    page: Page, airflow: AirflowStack, exported: str, sandbox_process: Sandbox, tmp_path: Path
) -> None:
    """Its page shows how far it is while it works, ends it, says that it was ended, and runs it again to its end."""
    from playwright.sync_api import expect

    calls = sandbox_process.stats()["requests"]
    sandbox_process.change(latency=SLOW)
    try:
        run = airflow.trigger(EXPORT, {"segments": ["VIP"], "delivery": "direct", "full": True})
        page.goto(run_page(run))
        shown = page.locator("[data-mailchimp]")
        bar = shown.get_by_role("progressbar")
        if RELEASE >= (3, 3):
            expect(bar).to_be_visible(timeout=90_000)
            expect(bar).to_have_attribute("aria-label", re.compile(r"^[a-z ]+: [\d,]+"))
        else:
            until(lambda: sandbox_process.stats()["requests"] != calls)
            expect(shown.get_by_text(re.compile(r"\bexport: (running|deferred)\b"))).to_be_visible()
            expect(bar).to_have_count(0)
        page.screenshot(path=tmp_path / "at-work.png")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel the run").click()
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        expect(bar).to_have_count(0)
        expect(page.get_by_text("ended from outside")).to_be_visible()
        page.screenshot(path=tmp_path / "cancelled.png")
    finally:
        sandbox_process.change(latency=0.0)
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("dialog").get_by_role("button", name="Try again").click()
    expect(page.get_by_text("rows read =")).to_be_visible(timeout=240_000)
    expect(page.get_by_role("group", name="What can be done").get_by_role("button")).to_have_count(0)
    assert airflow.call("GET", f"/dags/{EXPORT}/dagRuns/{run}")["state"] == "success"


def test_rejects_are_downloaded(page: Page, airflow: AirflowStack, exported: str) -> None:
    """Who may have the rejects of a run gets the very file that is in its folder."""
    page.goto(run_page(exported))
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download rejects.csv").click()
    path = f"/dags/{EXPORT}/dagRuns/{exported}/taskInstances/report/xcomEntries/mailchimp_report"
    kept = Path(airflow.call("GET", path)["value"]["run_uri"]) / "rejects.csv"
    assert waiting.value.suggested_filename == f"rejects-{EXPORT}.export.csv"
    assert Path(waiting.value.path()).read_bytes() == kept.read_bytes()


@pytest.mark.parametrize(
    "path", [EXPORTS, f"{EXPORTS}?dag_id={EXPORT}", f"{EXPORTS}?dag_id={EXPORT}&run_id=any"]
)
def test_nobody_gets_in_nowhere(browser: Browser, airflow: AirflowStack, exported: str, path: str) -> None:
    """Without a session each page asks for the log-in, and shows nothing before it."""
    from playwright.sync_api import expect

    opened = browser.new_page(base_url=airflow.url)
    told: list[int] = []
    opened.on("response", lambda one: "/mailchimp/" in one.url and told.append(one.status))
    opened.goto(path)
    expect(opened.get_by_label("Username")).to_be_visible()
    expect(opened.get_by_text("Mailchimp exports")).to_have_count(0)
    assert set(told) <= {401}
    opened.close()


def test_nobody_gets_an_answer(airflow: AirflowStack, exported: str) -> None:
    """Without a session every route of the pages answers 401 in JSON, over the wire, too."""
    routes = ["exports", f"exports/{EXPORT}", f"rights/{EXPORT}", f"rejects/{EXPORT}/{quote(exported)}"]
    for path in [*(f"api/{route}" for route in routes), f"api/{routes[-1]}/file", "static/main.js"]:
        answer = requests.get(f"{airflow.url}/mailchimp/{path}", timeout=30)
        assert (answer.status_code, json.loads(answer.text)) == (401, {"detail": "Not authenticated"})
