"""One Airflow and one browser for the whole folder.

``MAILCHIMP_SCREENSHOTS`` names a folder that gets pictures of the pages, for the documentation; then the small exports
of `make up` have run, too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.airflow_environment import PASSWORD, USER
from scripts.airflow_stack import AirflowStack
from scripts.history import make_history, settings_of
from scripts.sandbox_service import Sandbox
from tests.conftest import AUDIENCE
from tests.live_airflow import EXPORT, REFRESH, live_airflow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = os.environ.get("MAILCHIMP_SCREENSHOTS")
CHROMIUM = shutil.which("chromium")
COLLEAGUE = "colleague"

QUIETLY = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.hookimpl(tryfirst=True)
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
    """A whole Airflow, in which admins may download rejects, and one can sign in to the sandbox."""
    home = tmp_path_factory.mktemp("ui")
    settings = {
        "AIRFLOW__MAILCHIMP__REJECTS_DOWNLOAD": "admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,{COLLEAGUE}:admin",
        **sandbox_process.sign_in(),
    }
    if PICTURES:
        settings |= settings_of(home / "segments", dags=home / "dags")
    with live_airflow(home, sandbox_process, **settings) as stack:
        yield stack


@pytest.fixture(scope="package")
def exported(airflow: AirflowStack, sandbox_process: Sandbox) -> str:
    """The shipped export after one real run; returned is that run."""
    sandbox_process.reset()
    sandbox_process.load(AUDIENCE)
    if PICTURES:
        make_history(airflow, airflow.home.parent / "segments")
    airflow.wait_for_dag(REFRESH)
    airflow.run_dag(REFRESH)
    return str(airflow.run_dag(EXPORT)["dag_run_id"])


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
    log_in(opened, USER, PASSWORD)
    yield opened
    opened.screenshot(path=tmp_path / "page.png")
    opened.close()


def log_in(page: Page, name: str, password: str) -> None:
    """Log in to Airflow."""
    page.goto("/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_test_id("nav-home-link").get_by_text("Home").wait_for()


@pytest.fixture
def colleague(browser: Browser, airflow: AirflowStack) -> Iterator[Page]:
    """A page of somebody else, in a browser of their own."""
    opened = browser.new_page(base_url=airflow.url)
    # Airflow made up a password for whom it found none.
    passwords = airflow.home / "simple_auth_manager_passwords.json.generated"
    log_in(opened, COLLEAGUE, json.loads(passwords.read_text(encoding="utf-8"))[COLLEAGUE])
    yield opened
    opened.close()
