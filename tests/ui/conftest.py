"""One Airflow and one browser for the whole folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.airflow_environment import PASSWORD, USER
from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.live_airflow import live_airflow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
QUIETLY = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, and keep them in one process; they need Chromium."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.ui)
            item.add_marker(pytest.mark.xdist_group("ui"))
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"))


@pytest.fixture(scope="package")
def airflow(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Iterator[AirflowStack]:
    """A whole Airflow."""
    with live_airflow(tmp_path_factory.mktemp("ui"), sandbox_process) as stack:
        yield stack


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIETLY)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, airflow: AirflowStack, tmp_path: Path) -> Iterator[Page]:
    """A page of somebody who has logged in; in the end a picture of it is left in the test's folder."""
    opened = browser.new_page(base_url=airflow.url, viewport={"width": 1300, "height": 1400})
    opened.goto("/")
    opened.get_by_label("Username").fill(USER)
    opened.get_by_label("Password").fill(PASSWORD)
    opened.get_by_role("button", name="Sign in").click()
    opened.get_by_test_id("nav-home-link").get_by_text("Home").wait_for()
    yield opened
    opened.screenshot(path=tmp_path / "page.png")
    opened.close()
