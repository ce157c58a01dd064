"""The pages of the plugin in a browser: of all exports, of one, and of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import requests

from scripts.airflow_stack import AirflowStack
from scripts.sandbox_service import Sandbox
from scripts.services import LOOPBACK, Service, free_port
from tests.airflow.releases import RELEASE
from tests.live_airflow import EXPORT, REFRESH, until
from tests.ui.places import EXPORTS, REPOSITORY, built, run_of, run_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = built

MARKUP = "<img src=x onerror=document.title='taken'>"
FOREIGN_DAG = f"""
from datetime import datetime

from airflow.sdk import DAG, task

with DAG("marked_up", dag_display_name={MARKUP!r}, start_date=datetime(2026, 1, 1), tags={{"mailchimp"}}):

    @task
    def publish(*, ti=None):
        counts = dict.fromkeys(
            "rows_read merged rejected suppressed unchanged created updated unconfirmed not_sent removed "
            "removal_failed".split(), 0
        )
        audience = {{"id": "a", "name": {MARKUP!r}, "page": "javascript:document.title='taken'"}}
        ti.xcom_push(key="mailchimp_report", value={{
            "schema": 1, "export": "marked_up", "verdict": "partial", "finished_at": "2026-11-22T12:00:00+00:00",
            "counts": counts, "audience": audience, "connection_id": "<b>other</b>", "dry_run": False, "refused": False,
            "problem": {{"kind": "outcome", "message": {MARKUP!r}, "remedy": "", "allow": None}},
            "rejects_by_reason": {{}}, "suppressed_by_reason": {{}}, "rejects_new": 0, "sample_rejects": [],
            "segments": [], "batch_ids": [], "warnings": [], "versions": {{}}, "truncated": {{}}, "run_uri": "",
        }})

    publish()
"""


def test_an_export_is_rehearsed_and_then_run(page: Page, airflow: AirflowStack, exported: str) -> None:
    """From the list by the DAG's own form to the account of a dry run, and from there to the real one."""
    from playwright.sync_api import expect

    page.goto(EXPORTS)
    page.get_by_role("button", name=f"Dry run of {EXPORT}").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Newsletter")).to_be_checked()
    form.get_by_label("Recent buyers").uncheck()
    form.get_by_role("button", name="Start the dry run").click()
    expect(page.get_by_text("DRY RUN: nothing was changed in Mailchimp")).to_be_visible()
    rehearsed = run_of(page)
    expect(page.get_by_text("by admin, took")).to_contain_text('"dry_run":true')
    page.get_by_role("button", name="Run for real").click()
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(lambda url: "run_id=" in url and quote(rehearsed, safe="") not in url)
    expect(page.get_by_text("rows read =")).to_be_visible()
    expect(page.get_by_text("DRY RUN")).to_have_count(0)
    conf = airflow.call("GET", f"/dags/{EXPORT}/dagRuns/{run_of(page)}")["conf"]
    assert conf == {"dry_run": False, "segments": ["VIP", "Newsletter"]}


def test_the_picture_adds_up(
    page: Page, airflow: AirflowStack, exported: str, sandbox_process: Sandbox, tmp_path: Path
) -> None:
    """Each count of the account is in the table, its sum is what was read, and the audience has whom it says."""
    from playwright.sync_api import expect

    page.goto(run_page(exported))
    table = page.get_by_role("region", name="What became of the rows")
    expect(table).to_be_visible()
    path = f"/dags/{EXPORT}/dagRuns/{exported}/taskInstances/report/xcomEntries/mailchimp_report"
    report = airflow.call("GET", path)["value"]
    counts, warned = report["counts"], ["Warnings"] if report["warnings"] else []
    cells = table.get_by_role("row").filter(has_text="%").locator("td:nth-child(2)").all_inner_texts()
    assert sum(int(cell.replace(",", "")) for cell in cells) == counts["rows_read"] > 0
    segments = page.get_by_role("region", name="Segments", exact=True).get_by_role("row")
    shown = {cells[0]: int(cells[2].replace(",", "")) for cells in map(_cells, segments.all()[1:])}
    tags = {tag["name"]: tag["members"] for tag in sandbox_process.audience()["tags"]}
    assert shown == {name: tags[name] for name in shown}
    assert len(shown) == 3
    for heading in ("Rejected", "Suppressed", "Segments", *warned, "Versions"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    page.screenshot(path=tmp_path / "run.png")


def _cells(row: Locator) -> list[str]:
    return row.get_by_role("cell").all_inner_texts()


def test_the_page_of_an_export_shows_its_past(page: Page, exported: str, tmp_path: Path) -> None:
    """Bars and lines are drawn, each with a table; beside them are the field map and what may be removed."""
    from playwright.sync_api import expect

    page.goto(f"/dags/{EXPORT}/plugin/mailchimp-export")
    expect(page.locator("canvas")).to_have_count(2)
    for name in ("Runs", "Segments of the newest run", "Which column fills which merge field"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="FNAME first_name")).to_be_visible()
    expect(page.get_by_text("Who leaves a segment loses its tag.")).to_be_visible()
    page.screenshot(path=tmp_path / "export.png")


def test_removals_are_allowed_once(page: Page, airflow: AirflowStack, exported: str, tmp_path: Path) -> None:
    """After the limit has stopped a run, the page says that nothing was sent, and asks back before it goes on."""
    from playwright.sync_api import expect

    profiles = airflow.home.parent / "profiles.parquet"
    whole = profiles.read_bytes()
    _keep_a_tenth(profiles)
    try:
        airflow.run_dag(REFRESH)
        refused = str(airflow.run_dag(EXPORT)["dag_run_id"])
    finally:
        profiles.write_bytes(whole)
    page.goto(run_page(refused))
    expect(page.get_by_text("NOTHING WAS SENT", exact=True)).to_be_visible()
    page.screenshot(path=tmp_path / "refused.png")
    allow = page.get_by_role("button", name=re.compile(r"Allow [\d,]+ removals once"))
    people = int(re.sub(r"\D", "", allow.inner_text()))
    allow.click()
    asking = page.get_by_role("dialog")
    for words in ("VIP", "Newsletter", "Recent buyers"):
        expect(asking.get_by_role("cell", name=words)).to_be_visible()
    page.screenshot(path=tmp_path / "asking.png")
    asking.get_by_role("button", name="Allow once, and run").click()
    page.wait_for_url(lambda url: "run_id=" in url)
    expect(page.get_by_text(f"Beside these: {people:,} removed")).to_be_visible(timeout=180_000)
    expect(page.get_by_text("NOTHING WAS SENT")).to_have_count(0)


def _keep_a_tenth(profiles: Path) -> None:
    """Leave one customer of ten."""
    from pyarrow import parquet

    table = parquet.read_table(profiles)
    parquet.write_table(table.slice(0, table.num_rows // 10), profiles)


def test_names_are_text(page: Page, airflow: AirflowStack, exported: str) -> None:
    """Markup and scripts in names, messages and addresses are shown as they are written, on each page."""
    from playwright.sync_api import expect

    folder = Path(airflow.environment["AIRFLOW__CORE__DAGS_FOLDER"])
    (folder / "marked_up.py").write_text(FOREIGN_DAG, encoding="utf-8")
    run = str(airflow.run_dag("marked_up")["dag_run_id"])
    for path in (EXPORTS, "/dags/marked_up/plugin/mailchimp-export", run_page(run, "marked_up")):
        page.goto(path)
        expect(page.get_by_text(MARKUP).first).to_be_visible()
        expect(page.locator("img[src=x], a[href^='javascript:']")).to_have_count(0)
        assert page.title() != "taken"


def test_the_list_is_filtered(page: Page, airflow: AirflowStack, exported: str) -> None:
    """By text and by trouble; what was found is said to a screen reader, too."""
    from playwright.sync_api import expect

    page.goto(EXPORTS)
    row = page.get_by_role("row").filter(has_text=EXPORT)
    expect(row).to_be_visible()
    page.get_by_label("Search exports").fill("nobody has this name")
    expect(row).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="0 of")).to_be_visible()
    page.get_by_label("Search exports").fill("SANDBOX AUDIENCE")
    expect(row).to_be_visible()


def test_nothing_is_loaded_from_elsewhere_and_in_few_requests(
    page: Page, airflow: AirflowStack, exported: str
) -> None:
    """The list needs one request, besides those that Airflow makes for itself; charts come when one is shown."""
    from playwright.sync_api import expect

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(EXPORTS)
    expect(page.get_by_role("heading", name="Mailchimp exports")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=EXPORT)).to_be_visible()
    assert {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))} == {LOOPBACK}
    ours = [urlsplit(url).path for url in asked if "/mailchimp/" in url]
    code = sorted(name.rpartition("/")[2].partition("-")[0] for name in ours if "/static/" in name)
    assert code == [*(["chakra.js"] if RELEASE < (3, 2) else []), "main.js", "react"]
    assert [name for name in ours if "/static/" not in name] == ["/mailchimp/api/exports"]
    assert not [url for url in asked if "chart-" in url and "/mailchimp/" in url]


def test_two_hundred_exports_are_there_quickly(page: Page, airflow: AirflowStack, exported: str) -> None:
    """With a thousand runs behind them the first page takes at most thirty requests, and ten seconds at most."""
    from playwright.sync_api import expect

    write_many = [sys.executable, "-m", "tests.kit.many_exports"]
    run = partial(subprocess.run, check=True, env=airflow.environment, cwd=REPOSITORY, capture_output=True)
    run([*write_many, "write"])
    try:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        began = time.monotonic()
        page.goto(EXPORTS)
        expect(page.get_by_role("row").filter(has_text="many_000")).to_be_visible()
        took = time.monotonic() - began
        expect(page.get_by_text("Page 1 of 9")).to_be_visible()
        print(f"{len(asked)} requests, {took:.1f} s")
        assert len([url for url in asked if not url.startswith(("data:", "blob:"))]) <= 30
        assert took < 10
        page.get_by_label("Search exports").fill("many_199")
        expect(page.get_by_role("row").filter(has_text="many_199")).to_be_visible()
    finally:
        run([*write_many, "remove"])


def test_pages_fit_a_telephone(browser: Browser, page: Page, exported: str, tmp_path: Path) -> None:
    """At 390 pixels a wide table scrolls by itself, and the page does not; so it is in the dark."""
    from playwright.sync_api import expect

    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("localStorage.setItem('theme', 'dark')")
    one, run = f"{EXPORTS}?dag_id={EXPORT}", f"&run_id={quote(exported, safe='')}"
    for path, words in ((EXPORTS, "Mailchimp exports"), (one, "Runs"), (one + run, "rows read =")):
        page.goto(path)
        expect(page.get_by_text(words).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        widest = page.get_by_role("region").evaluate_all(
            "all => Math.max(...all.map(one => one.getBoundingClientRect().right))"
        )
        assert widest <= 390
        assert page.evaluate("document.documentElement.classList.contains('dark')")
        page.screenshot(path=tmp_path / f"{words.split()[0]}.png")
    page.evaluate("localStorage.setItem('theme', 'light')")


def test_who_logs_out_elsewhere_is_told(page: Page, exported: str) -> None:
    """The page says it, with a way to log in, when its session ends under it."""
    from playwright.sync_api import expect

    page.goto(EXPORTS)
    expect(page.get_by_role("row").filter(has_text=EXPORT)).to_be_visible()
    page.route(
        "**/mailchimp/api/**", lambda route: route.fulfill(status=401, json={"detail": "Not authenticated"})
    )
    page.get_by_role("button", name=f"Pause {EXPORT}").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.unroute("**/mailchimp/api/**")
    where = page.get_by_role("link", name="Log in").get_attribute("href")
    assert where
    assert urlsplit(where).path == "/api/v2/auth/login"


def test_a_page_that_cannot_be_loaded_says_why(page: Page, exported: str) -> None:
    """An error of the server is shown, with a button that tries again; so is an installation without exports."""
    from playwright.sync_api import expect

    page.route(
        "**/mailchimp/api/exports", lambda route: route.fulfill(status=500, json={"detail": "out of order"})
    )
    page.goto(EXPORTS)
    expect(page.get_by_role("alert").filter(has_text="out of order")).to_be_visible()
    page.unroute("**/mailchimp/api/exports")
    empty = {"airflow": "3.3.2", "exports": []}
    page.route("**/mailchimp/api/exports", lambda route: route.fulfill(json=empty))
    page.get_by_role("button", name="Load again").click()
    expect(page.get_by_text("There is no export yet that you may see.")).to_be_visible()


def test_a_viewer_is_offered_nothing_to_do(browser: Browser, airflow: AirflowStack, exported: str) -> None:
    """The pages show the same to a viewer, without the buttons; behind a base URL with a path, too."""
    from playwright.sync_api import expect

    with api_server_behind(airflow, "/team/airflow") as url:
        opened = browser.new_page(base_url=url)
        opened.goto(f"{url}/")
        opened.get_by_label("Username").fill("viewer")
        opened.get_by_label("Password").fill("viewer")
        opened.get_by_role("button", name="Sign in").click()
        opened.get_by_test_id("nav-home-link").get_by_text("Home").wait_for()
        opened.goto(f"{url}{EXPORTS}")
        expect(opened.get_by_role("row").filter(has_text=EXPORT)).to_be_visible()
        expect(opened.get_by_role("button", name="Run")).to_have_count(0)
        opened.goto(f"{url}{run_page(exported)}")
        expect(opened.get_by_text("rows read =")).to_be_visible()
        expect(opened.get_by_role("group", name="What can be done")).to_have_count(0)
        expect(opened.get_by_text("Who they are says rejects.csv")).to_be_visible()
        expect(opened.get_by_role("link", name="Download rejects.csv")).to_have_count(0)
        opened.close()


@contextmanager
def api_server_behind(airflow: AirflowStack, path: str) -> Iterator[str]:
    """One more API server of the same Airflow, under a path, with a log-in for a viewer."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}{path}"
    passwords = airflow.home / "viewers.json"
    passwords.write_text(json.dumps({"viewer": "viewer"}))
    environment = {
        **airflow.environment,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    command = [sys.executable, "-m", "airflow", "api-server"]
    server = Service("Another API server", command, environment=environment, log=airflow.logs / "another.log")
    try:
        until(lambda: server.check() or _answers(url), timeout=120)
        yield url
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/v2/version", timeout=5).ok
    except requests.RequestException:
        return False
