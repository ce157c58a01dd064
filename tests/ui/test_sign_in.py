"""Signing in to the sandbox in a browser: agreeing, refusing, and coming back with what is worth nothing."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

SIGN_IN = "/mailchimp/sign-in"
AGREE = "I agree to the transfer of personal data"


@pytest.fixture(scope="module", autouse=True)
def removed(airflow: AirflowStack) -> Iterator[None]:
    """What was made here is gone in the end: other tests see the same connections."""
    yield
    for conn_id in ("signed_in", "replayed"):
        if exists(airflow, conn_id):
            airflow.call("DELETE", f"/connections/{conn_id}")


def begin(page: Page, conn_id: str) -> None:
    """Fill in the page for a new connection, and come to Mailchimp's."""
    page.goto(SIGN_IN)
    # The first entry stands for a new one.
    page.get_by_label("Which connection the token is for").select_option("")
    page.get_by_label("Name of a new connection").fill(conn_id)
    page.get_by_label(AGREE).check()
    page.get_by_role("button", name="Go on to Mailchimp").click()
    page.get_by_role("heading", name="Allow access?").wait_for()


@contextmanager
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser says of things that a policy forbids, or that went wrong."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    yield found


def token_of(airflow: AirflowStack, conn_id: str) -> str:
    """The token, out of the database: no page and no API shows it."""
    with closing(sqlite3.connect(airflow.home / "airflow.db")) as database:
        asked = "SELECT password FROM connection WHERE conn_id = ?"
        ((kept,),) = database.execute(asked, (conn_id,)).fetchall()
    key = airflow.environment["AIRFLOW__CORE__FERNET_KEY"]
    return Fernet(key.encode()).decrypt(kept.encode()).decode()


def exists(airflow: AirflowStack, conn_id: str) -> bool:
    """Whether Airflow has a connection."""
    return conn_id in {one["connection_id"] for one in airflow.call("GET", "/connections")["connections"]}


def test_one_signs_in_and_agrees(page: Page, airflow: AirflowStack, sandbox: Sandbox, tmp_path: Path) -> None:
    """From the navigation to Mailchimp and back to a connection that passes its test, and no token is seen anywhere."""
    from playwright.sync_api import expect

    page.get_by_role("button", name="Admin").click()
    page.get_by_role("menuitem", name="Mailchimp sign-in").wait_for()
    with page.context.expect_page() as opening:
        page.get_by_role("menuitem", name="Mailchimp sign-in").click()
    opened = opening.value
    expect(opened.get_by_role("heading", name="Sign in to Mailchimp")).to_be_visible()
    with complaints(opened) as found:
        begin(opened, "signed_in")
        opened.screenshot(path=tmp_path / "mailchimp.png")
        opened.get_by_role("button", name="Allow").click()
        expect(opened.get_by_role("status")).to_contain_text("the account Sandbox, with the role admin")
        assert urlsplit(opened.url).query == "connection=signed_in"
        opened.get_by_label("Sandbox audience").check()
        opened.screenshot(path=tmp_path / "audience.png")
        opened.get_by_role("button", name="Save the audience").click()
        expect(opened.get_by_role("status")).to_contain_text("Its default audience is Sandbox audience")
        assert found == []
    opened.close()
    saved = json.loads(airflow.call("GET", "/connections/signed_in")["extra"])
    assert (saved["audience_id"], saved["auth_method"]) == (sandbox.audience_id, "oauth2")
    assert (saved["data_privacy_consent"], saved["consent_by"]) == (True, "admin")
    page.goto("/connections")
    row = page.get_by_role("row").filter(has_text="signed_in")
    row.get_by_role("button", name="Test Connection").click()
    toast = page.locator("[data-scope=toast][data-part=root]").filter(has_text="Account Sandbox")
    expect(toast).to_contain_text("Test Connection Successful")
    token = token_of(airflow, "signed_in")
    assert len(token) == 32
    written = [*airflow.home.rglob("*.log"), *airflow.logs.iterdir()]
    assert written
    secrets = (token, sandbox.settings()["oauth_client_secret"])
    assert not [log for log in written for secret in secrets if secret in log.read_text(errors="replace")]


def test_one_refuses(page: Page, airflow: AirflowStack, sandbox: Sandbox, tmp_path: Path) -> None:
    """Who presses Deny is told that nothing was saved, and can begin again."""
    from playwright.sync_api import expect

    begin(page, "refused")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_contain_text("In Mailchimp access was refused, so nothing was saved")
    page.screenshot(path=tmp_path / "refused.png")
    assert not exists(airflow, "refused")
    page.get_by_role("link", name="Begin again").click()
    expect(page.get_by_role("heading", name="Sign in to Mailchimp")).to_be_visible()


def test_mailchimp_leads_on_to_another_of_its_hosts(page: Page, sandbox: Sandbox) -> None:
    """Who is logged in there already, or logs in elsewhere first, comes through several hosts before being asked."""
    from playwright.sync_api import expect

    def lead_on(route: Route) -> None:
        further = route.request.url.replace("127.0.0.1", "localhost", 1)
        route.fulfill(status=302, headers={"Location": further})

    page.route(f"{sandbox.url}/oauth2/authorize?**", lead_on)
    begin(page, "elsewhere")
    expect(page).to_have_url(re.compile("^http://localhost:"))


def test_a_state_is_replayed(page: Page, airflow: AirflowStack, sandbox: Sandbox) -> None:
    """The way back leads nowhere for a second time, and the connection stays as it is."""
    from playwright.sync_api import expect

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin(page, "replayed")
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status")).to_contain_text("the account Sandbox")
    (back,) = (url for url in asked if urlsplit(url).path.endswith("/callback"))
    token = token_of(airflow, "replayed")
    page.goto(back)
    expect(page.get_by_role("heading", name="This sign-in is over")).to_be_visible()
    assert token_of(airflow, "replayed") == token


def test_anothers_state(page: Page, colleague: Page, airflow: AirflowStack, sandbox: Sandbox) -> None:
    """Who is lured to the end of somebody else's sign-in saves nothing, and the other one has to begin again."""
    from playwright.sync_api import expect

    kept: list[str] = []

    def keep(route: Route) -> None:
        kept.append(route.fetch(max_redirects=0).headers["location"])
        route.fulfill(body="kept back")

    begin(page, "anothers")
    page.route("**/oauth2/authorize", keep)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text("kept back")).to_be_visible()
    (back,) = kept
    colleague.goto(back)
    expect(colleague.get_by_role("heading", name="This sign-in is somebody else's")).to_be_visible()
    page.goto(back)
    expect(page.get_by_role("heading", name="This sign-in is over")).to_be_visible()
    assert not exists(airflow, "anothers")


def test_the_page_fits_a_telephone(page: Page, tmp_path: Path) -> None:
    """At 390 pixels nothing sticks out; the style gets past the policy, and follows light and dark."""
    colours = {}
    page.set_viewport_size({"width": 390, "height": 844})
    with complaints(page) as found:
        page.goto(f"{SIGN_IN}?connection={'long_' * 30}")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two
            colours[scheme] = page.evaluate("getComputedStyle(document.body).color")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
        assert found == []
    assert colours == {"light": "rgb(26, 29, 33)", "dark": "rgb(236, 239, 243)"}


def test_who_is_not_logged_in_is_led_to_it(page: Page) -> None:
    """Without a session the page says so, and the way to log in leads back to it."""
    from playwright.sync_api import expect

    page.context.clear_cookies()
    page.goto(SIGN_IN)
    expect(page.get_by_role("heading", name="You are not logged in to Airflow")).to_be_visible()
    page.get_by_role("link", name="Log in").click()
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("admin")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in to Mailchimp")).to_be_visible()
