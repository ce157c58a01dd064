"""The forms that a user of Airflow's UI meets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from tests.live_airflow import EXPORT, connection_body

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SECTIONS = {
    "Standard Fields": [
        "Base URL (leave empty)",
        "API key or OAuth token",
        "Port (fill in 443, or Test fails)",
    ],
    "Mailchimp account": ["Default audience id", "Server prefix", "Authentication"],
    "Data privacy": ["I agree to the transfer of personal data", "Responsible for exports", "Allowed DAGs"],
    "Limits": ["Contact limit", "Most connections", "Timeout in seconds"],
    "Other hosts": ["Allow plain http", "Allow hosts outside mailchimp.com"],
}


def open_form(page: Page) -> Locator:
    """Open the form for a new Mailchimp connection."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").first.click()
    page.keyboard.type("mailchimp")
    page.get_by_role("option", name="Mailchimp").click()
    form.get_by_text("Standard Fields").wait_for()
    return form


def open_section(form: Locator, section: str) -> None:
    """Open one section; the one that was open closes by itself."""
    button = form.get_by_role("button", name=section, exact=True)
    if button.get_attribute("aria-expanded") == "false":
        button.click()


def test_connection_form_has_every_field(page: Page) -> None:
    """For the type Mailchimp each field appears in its section under its label; schema and login do not."""
    from playwright.sync_api import expect

    form = open_form(page)
    for section, labels in SECTIONS.items():
        open_section(form, section)
        for label in labels:
            expect(form.get_by_text(label).first).to_be_visible()
    expect(form.get_by_text("Login", exact=True)).to_have_count(0)
    expect(form.get_by_text("Schema", exact=True)).to_have_count(0)
    expect(form.get_by_role("button", name="Extra Fields", exact=True)).to_have_count(0)


def test_consent_says_what_one_agrees_to_and_is_free(page: Page, tmp_path: Path) -> None:
    """The switch has no asterisk, and the whole of what one agrees to stands beside it."""
    from playwright.sync_api import expect

    form = open_form(page)
    for section in ("Standard Fields", "Mailchimp account", "Limits", "Other hosts", "Data privacy"):
        open_section(form, section)
        page.wait_for_timeout(300)
        page.screenshot(path=tmp_path / f"{section}.png")
    for words in ("outside of the boundary of this system", "I am responsible", "withdraw this at any time"):
        expect(form.get_by_text(words).first).to_be_visible()
    label = form.get_by_text("I agree to the transfer of personal data").first
    expect(label).to_have_text("I agree to the transfer of personal data")


def test_the_test_button_says_first_what_stands_in_the_way(
    page: Page, airflow: AirflowStack, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Each obstacle is a line of its own with its remedy, before whose account it is."""
    from playwright.sync_api import expect

    body = connection_body(sandbox, audience_id="0000000000", data_privacy_consent=False)
    airflow.call("POST", "/connections", {**body, "connection_id": "mailchimp_blocked"})
    page.goto("/connections")
    row = page.get_by_role("row").filter(has_text="mailchimp_blocked")
    row.get_by_role("button", name="Test Connection").click()
    toast = page.locator("[data-scope=toast][data-part=root]").filter(has_text="Account Sandbox")
    expect(toast).to_contain_text("I agree to the transfer of personal data (data_privacy_consent) is off")
    page.screenshot(path=tmp_path / "toast.png")
    words = toast.inner_text()
    (tmp_path / "toast.txt").write_text(words, encoding="utf-8")
    assert words.index("is off") < words.index("The account has no audience 0000000000")
    assert words.index("has no audience") < words.index("Account Sandbox")
    assert f"Audience Sandbox audience: {sandbox.audience_id}" in words


def test_connection_form_begins_with_the_defaults(page: Page) -> None:
    """Consent is off, eight connections and two minutes are preset, and the port's hint is 443."""
    from playwright.sync_api import expect

    form = open_form(page)
    expect(form.locator("input[name=port]")).to_have_attribute("placeholder", "443")
    open_section(form, "Data privacy")
    expect(form.locator("input[name=element_data_privacy_consent]")).not_to_be_checked()
    open_section(form, "Limits")
    expect(form.locator("input[name=element_max_connections]")).to_have_value("8")
    expect(form.locator("input[name=element_timeout]")).to_have_value("120")


def test_connection_is_created_and_tested(page: Page, airflow: AirflowStack, sandbox: Sandbox) -> None:
    """A connection that was filled in and saved passes the Test button, which tells of its account."""
    from playwright.sync_api import expect

    form, place = open_form(page), urlsplit(sandbox.url)
    form.locator("input[name=connection_id]").fill("mailchimp_by_hand")
    form.locator("input[name=host]").fill(f"{place.scheme}://{place.hostname}")
    form.locator("input[name=password]").fill(sandbox.key)
    form.locator("input[name=port]").fill(str(place.port))
    open_section(form, "Mailchimp account")
    form.locator("input[name=element_audience_id]").fill(sandbox.audience_id)
    open_section(form, "Data privacy")
    consent = form.locator("input[name=element_data_privacy_consent]")
    form.locator("label").filter(has=page.locator("input[name=element_data_privacy_consent]")).click()
    expect(consent).to_be_checked()
    form.locator("input[name=element_export_user]").fill("Ann")
    form.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="mailchimp_by_hand")
    row.get_by_role("button", name="Test Connection").click()
    toast = page.locator("[data-scope=toast][data-part=root]").filter(has_text="Account Sandbox")
    expect(toast).to_contain_text("Test Connection Successful")
    expect(toast).to_contain_text(f"Audience Sandbox audience ({sandbox.audience_id})")
    saved = json.loads(airflow.call("GET", "/connections/mailchimp_by_hand")["extra"])
    assert saved["data_privacy_consent"] is True
    assert saved["export_user"] == "Ann"
    assert saved["max_connections"] == 8


def test_trigger_form_asks_for_segments_and_delivery(page: Page, airflow: AirflowStack) -> None:
    """The form of a run by hand shows all segments and the delivery; a segment can be left out."""
    from playwright.sync_api import expect

    airflow.wait_for_dag(EXPORT)
    page.goto(f"/dags/{EXPORT}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    chosen = ("VIP", "Newsletter", "Recent buyers", "Batch: Mailchimp works it off")
    for words in ("Segments", "Delivery", *chosen):
        expect(form.get_by_text(words).first).to_be_visible()
    form.get_by_label("Select one or multiple values").press("Backspace")
    expect(form.get_by_text("Recent buyers", exact=True)).to_have_count(0)
    expect(form.get_by_text("Newsletter", exact=True)).to_be_visible()
