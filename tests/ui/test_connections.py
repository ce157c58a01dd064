"""The page of connections in a browser: added, checked, agreed to, pointed at an audience, withdrawn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import jwt
import pytest
import requests

from scripts.airflow_environment import PASSWORD, USER
from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.live_airflow import CONNECTION, EXPORT, REFRESH
from tests.ui.test_forms import open_form, open_section

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

EXPORTS, CONNECTIONS = "/plugin/mailchimp", "/plugin/mailchimp?connections"
BUILT = Path(__file__).resolve().parents[2] / "airflow_mailchimp_export" / "pages" / "static" / "main.js"
BY_HAND = "mailchimp_added"
MARKUP = "<img src=x onerror=document.title='taken'>"
WRONG_KEY = "f" * 32 + "-us0"

pytestmark = pytest.mark.skipif(
    not BUILT.is_file(), reason="the pages are not built; make setup does it with npm"
)


def section_of(page: Page, conn_id: str) -> Locator:
    """What the page shows of a connection."""
    return page.get_by_role("region", name=conn_id, exact=True)


def extra_of(airflow: AirflowStack, conn_id: str) -> dict[str, object]:
    """What the connection has among its extras."""
    extra: dict[str, object] = json.loads(airflow.call("GET", f"/connections/{conn_id}")["extra"])
    return extra


def checked(page: Page, conn_id: str) -> Locator:
    """Check a connection, and return the list of what was found."""
    from playwright.sync_api import expect

    section = section_of(page, conn_id)
    # Waited for from before the click: on a busy machine the answer is there before the next line.
    with page.expect_response(lambda answer: answer.url.endswith("/check"), timeout=120_000):
        section.get_by_role("button", name="Check", exact=True).click()
    expect(section.get_by_role("button", name="Check", exact=True)).to_be_enabled()
    return page.get_by_role("region", name=f"Last check of {conn_id}", exact=True)


@pytest.fixture(scope="module")
def added(airflow: AirflowStack) -> Iterator[str]:
    """The id of a connection that a test adds, and that is gone in the end."""
    yield BY_HAND
    airflow.call("DELETE", f"/connections/{BY_HAND}")


def test_a_connection_is_added_and_seen(
    page: Page, airflow: AirflowStack, sandbox_process: Sandbox, added: str
) -> None:
    """By Airflow's form, without an audience and with a wrong key; the list of exports leads to the page."""
    from playwright.sync_api import expect

    form, place = open_form(page), urlsplit(sandbox_process.url)
    form.locator("input[name=connection_id]").fill(added)
    form.locator("input[name=host]").fill(f"{place.scheme}://{place.hostname}")
    form.locator("input[name=password]").fill(WRONG_KEY)
    form.locator("input[name=port]").fill(str(place.port))
    open_section(form, "Data privacy")
    form.locator("label").filter(has=page.locator("input[name=element_data_privacy_consent]")).click()
    form.locator("input[name=element_export_user]").fill(MARKUP)
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text=added)).to_be_visible()
    page.goto(EXPORTS)
    page.get_by_role("link", name="Connections").click()
    section = section_of(page, added)
    expect(section).to_contain_text("none: each export names its own")
    expect(section).to_contain_text("given, by whom and when is not known")
    expect(section).to_contain_text(MARKUP)
    expect(section).to_contain_text("us0")
    expect(page.locator("img[src=x]")).to_have_count(0)
    assert page.title() != "taken"
    assert WRONG_KEY not in page.content()


def test_a_wrong_key_is_found_and_the_right_one_too(
    page: Page, airflow: AirflowStack, sandbox_process: Sandbox, added: str, tmp_path: Path
) -> None:
    """The list stays over a reload, says what is in the way and what to do, and that it is out of date."""
    from playwright.sync_api import expect

    page.goto(CONNECTIONS)
    found = checked(page, added)
    expect(found.get_by_role("row").filter(has_text="Key")).to_contain_text("in the way")
    expect(found.get_by_role("row").filter(has_text="Audience")).to_contain_text("Not looked at")
    page.reload()
    expect(found.get_by_role("row").filter(has_text="Key")).to_contain_text("in the way")
    body = airflow.call("GET", f"/connections/{added}")
    kept = {"connection_id": added, "conn_type": "mailchimp", "password": sandbox_process.key}
    airflow.call("PATCH", f"/connections/{added}?update_mask=password", {**body, **kept})
    page.reload()
    section = section_of(page, added)
    expect(section.get_by_text("was saved since this check")).to_be_visible()
    found = checked(page, added)
    expect(found.get_by_role("row").filter(has_text="Account Sandbox")).to_contain_text("in order")
    expect(section.get_by_text("was saved since this check")).to_have_count(0)
    page.screenshot(path=tmp_path / "checked.png")


def test_an_audience_is_chosen(
    page: Page, airflow: AirflowStack, sandbox_process: Sandbox, added: str
) -> None:
    """From a list of those that the account has; the connection has it, and what else it had."""
    from playwright.sync_api import expect

    page.goto(CONNECTIONS)
    section_of(page, added).get_by_role("button", name="Choose the audience").click()
    asking = page.get_by_role("dialog")
    asking.get_by_role("button", name="Save it").click()
    expect(asking.get_by_role("alert")).to_contain_text("Choose an audience first.")
    asking.get_by_label("Audience").select_option(sandbox_process.audience_id)
    asking.get_by_role("button", name="Save it").click()
    expect(section_of(page, added).get_by_text(sandbox_process.audience_id, exact=True)).to_be_visible()
    extra = extra_of(airflow, added)
    assert (extra["audience_id"], extra["export_user"]) == (sandbox_process.audience_id, MARKUP)


def test_who_agrees_is_kept_also_by_airflows_form(page: Page, airflow: AirflowStack, added: str) -> None:
    """Nobody agrees without an own tick; the name and the moment are still there after somebody saves the form."""
    from playwright.sync_api import expect

    page.goto(CONNECTIONS)
    section_of(page, added).get_by_role("button", name="Agree", exact=True).click()
    asking = page.get_by_role("dialog")
    expect(asking).to_contain_text("outside of the boundary of this system")
    asking.get_by_role("button", name="Keep that I agree").click()
    expect(asking.get_by_role("alert")).to_contain_text("Tick it, if you agree.")
    assert "consent_by" not in extra_of(airflow, added)
    tick = asking.get_by_label("I agree to the transfer of personal data")
    tick.check()
    asking.get_by_role("button", name="Leave it").click()
    section_of(page, added).get_by_role("button", name="Agree", exact=True).click()
    expect(tick).not_to_be_checked()
    tick.check()
    asking.get_by_role("button", name="Keep that I agree").click()
    expect(section_of(page, added)).to_contain_text(f"given by {USER}")
    given = extra_of(airflow, added)
    page.goto("/connections")
    page.get_by_role("row").filter(has_text=added).get_by_role("button", name="Edit Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_text("Standard Fields").wait_for()
    form.locator("textarea[name=description]").fill("Saved again")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row").filter(has_text="Saved again")).to_be_visible()
    saved = extra_of(airflow, added)
    evidence = ("data_privacy_consent", "consent_by", "consent_at")
    assert {key: saved.get(key) for key in evidence} == {key: given[key] for key in evidence}


def test_a_check_looks_at_the_exports(page: Page, airflow: AirflowStack) -> None:
    """Of the connection that the shipped export uses, its field map and its DAG are points of the list."""
    from playwright.sync_api import expect

    airflow.wait_for_dag(EXPORT)
    page.goto(CONNECTIONS)
    found = checked(page, CONNECTION)
    for words in (
        f"{EXPORT}.export: all 4 merge fields of its field map suit audience Sandbox audience",
        f"{EXPORT}.export: DAG {EXPORT} may use the connection",
    ):
        expect(found.get_by_role("row").filter(has_text=words)).to_contain_text("in order")


def test_after_consent_is_withdrawn_an_export_is_refused(
    page: Page, airflow: AirflowStack, sandbox_process: Sandbox, tmp_path: Path
) -> None:
    """The page asks back, and says who withdrew it; then nothing is sent, until somebody agrees again."""
    from playwright.sync_api import expect

    airflow.run_dag(REFRESH)
    before = sandbox_process.audience()
    page.goto(CONNECTIONS)
    section = section_of(page, CONNECTION)
    section.get_by_role("button", name="Withdraw consent").click()
    asking = page.get_by_role("dialog")
    asking.get_by_role("button", name="Leave it").click()
    assert extra_of(airflow, CONNECTION)["data_privacy_consent"] is True
    section.get_by_role("button", name="Withdraw consent").click()
    page.screenshot(path=tmp_path / "asking.png")
    asking.get_by_role("button", name="Withdraw it").click()
    expect(section).to_contain_text(f"withdrawn by {USER}")
    expect(section.get_by_role("button", name="Withdraw consent")).to_have_count(0)
    try:
        run = str(airflow.run_dag(EXPORT)["dag_run_id"])
        page.goto(f"{EXPORTS}?dag_id={EXPORT}&run_id={run.replace('+', '%2B')}")
        expect(page.get_by_text("NOTHING WAS SENT", exact=True)).to_be_visible()
        expect(page.get_by_text("data privacy consent (data_privacy_consent) is off")).to_be_visible()
        assert sandbox_process.audience() == before
    finally:
        page.goto(CONNECTIONS)
        section.get_by_role("button", name="Agree", exact=True).click()
        page.get_by_role("dialog").get_by_label("I agree to the transfer of personal data").check()
        page.get_by_role("button", name="Keep that I agree").click()
        expect(section).to_contain_text(f"given by {USER}")


def test_the_page_leads_to_signing_in(page: Page, airflow: AirflowStack) -> None:
    """The link opens the page for it, with the connection chosen whose key is to be replaced."""
    from playwright.sync_api import expect

    page.goto(CONNECTIONS)
    section_of(page, CONNECTION).get_by_role("link", name="Sign in to Mailchimp").click()
    expect(page.get_by_role("heading", name="Sign in to Mailchimp")).to_be_visible()
    expect(page.get_by_label("Which connection the token is for")).to_have_value(CONNECTION)


def test_the_page_fits_a_telephone(page: Page, added: str, tmp_path: Path) -> None:
    """At 390 pixels the list of a check scrolls by itself, and the page does not."""
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(CONNECTIONS)
    expect(page.get_by_role("region", name=f"Last check of {added}", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    right = "all => Math.max(...all.map(one => one.getBoundingClientRect().right))"
    assert page.get_by_role("region").evaluate_all(right) <= 390
    page.screenshot(path=tmp_path / "narrow.png", full_page=True)


def test_what_stands_in_the_way_of_the_page_is_said(page: Page, airflow: AirflowStack) -> None:
    """An error, no connection at all, an Airflow that lets nobody test them, and one that exports have elsewhere."""
    from playwright.sync_api import expect

    where = re.compile(r"/mailchimp/api/connections$")
    page.route(where, lambda route: route.fulfill(status=500, json={"detail": "out of order"}))
    page.goto(CONNECTIONS)
    expect(page.get_by_role("alert").filter(has_text="out of order")).to_be_visible()
    page.unroute(where)
    empty = {"tests_enabled": True, "agreement": "", "connections": []}
    page.route(where, lambda route: route.fulfill(json=empty))
    page.get_by_role("button", name="Load again").click()
    expect(page.get_by_text("There is no Mailchimp connection in Airflow’s database")).to_be_visible()
    page.unroute(where)
    page.route(where, lambda route: route.fulfill(json={**route.fetch().json(), "tests_enabled": False}))
    page.reload()
    section = section_of(page, CONNECTION)
    expect(section.get_by_text("test_connection is not Enabled")).to_be_visible()
    expect(section.get_by_role("button", name="Check", exact=True)).to_have_count(0)
    elsewhere = {"given": False, "elsewhere": "The connection comes from a vault"}
    page.route(re.compile(r"/consent$"), lambda route: route.fulfill(json=elsewhere))
    section.get_by_role("button", name="Withdraw consent").click()
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("a vault: withdraw it there.")
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("role", ["viewer", "user"])
def test_who_may_read_no_connection_sees_none_of_it(
    browser: Browser, airflow: AirflowStack, role: str
) -> None:
    """No way leads to the page, and its address shows nothing but that there is no right to it."""
    from playwright.sync_api import expect

    context = browser.new_context(base_url=airflow.url)
    context.add_cookies([{"name": "_token", "value": token_of(role, airflow), "url": airflow.url}])
    page = context.new_page()
    page.goto(EXPORTS)
    expect(page.get_by_role("heading", name="Mailchimp exports")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=EXPORT)).to_be_visible()
    expect(page.get_by_role("link", name="Connections")).to_have_count(0)
    page.goto(CONNECTIONS)
    expect(page.get_by_role("alert").filter(has_text="You have no right to this.")).to_be_visible()
    expect(page.get_by_text(CONNECTION)).to_have_count(0)
    expect(page.get_by_role("button", name="Check", exact=True)).to_have_count(0)
    context.close()


def token_of(role: str, airflow: AirflowStack) -> str:
    """The session of somebody with a role: the administrator's, with another name, signed as Airflow signs."""
    login = {"username": USER, "password": PASSWORD}
    token = requests.post(f"{airflow.url}/auth/token", json=login, timeout=60).json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False}) | {"sub": role, "role": role}
    header = jwt.get_unverified_header(token)
    return jwt.encode(claims, airflow.environment["AIRFLOW__API_AUTH__JWT_SECRET"], header["alg"], header)


def test_a_page_goes_on_after_a_failed_poll(page: Page, airflow: AirflowStack) -> None:
    """What was shown stays, says of when it is, and is of now again with the next answer."""
    from playwright.sync_api import expect

    page.clock.install()
    page.goto(EXPORTS)
    row = page.get_by_role("row").filter(has_text=EXPORT)
    expect(row).to_be_visible()
    page.route(
        "**/mailchimp/api/exports", lambda route: route.fulfill(status=503, json={"detail": "too busy"})
    )
    page.clock.fast_forward(31_000)
    expect(page.get_by_role("alert").filter(has_text="may be out of date: too busy")).to_be_visible()
    expect(row).to_be_visible()
    page.unroute("**/mailchimp/api/exports")
    page.clock.fast_forward(31_000)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(row).to_be_visible()
