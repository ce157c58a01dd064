"""What everybody meets on each page: by eye, light and dark, wide and narrow; and with a screen reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from scripts.airflow_stack import AirflowStack
from tests.live_airflow import CONNECTION, EXPORT
from tests.ui.conftest import PICTURES
from tests.ui.places import EXPORTS, REPOSITORY, built

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
"""Deque's checks of what the guidelines for accessibility ask for, as far as a program can tell."""

SIZES = {"wide": (1280, 700), "narrow": (390, 844)}
SERIOUS = {"serious", "critical"}
ASK = """async () => {
  const { passes, violations } = await axe.run("[data-mailchimp], [role=dialog]");
  const told = ({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.failureSummary + node.html) });
  return { passed: passes.length, violations: violations.map(told) };
}"""

LOOKS = [("light", "wide"), ("dark", "narrow")]
"""Each theme and each width is met once; for pictures, all of them together."""
if PICTURES:
    LOOKS = [(theme, size) for theme in ("light", "dark") for size in SIZES]

pytestmark = built


def list_of_exports(page: Page) -> None:
    """The page of all exports."""
    page.goto(EXPORTS)
    page.get_by_role("row").filter(has_text=EXPORT).wait_for()


def asking(page: Page) -> None:
    """The form of a run by hand."""
    list_of_exports(page)
    page.get_by_role("button", name=f"Dry run of {EXPORT}").click()
    page.get_by_role("dialog").get_by_label("Newsletter").wait_for()


def connections(page: Page) -> None:
    """The page of the connections, with a check."""
    page.goto(f"{EXPORTS}?connections")
    section = page.get_by_role("region", name=CONNECTION, exact=True)
    section.get_by_role("button", name="Check", exact=True).click()
    section.get_by_role("region", name=f"Last check of {CONNECTION}", exact=True).wait_for()
    section.get_by_role("button", name="Check", exact=True, disabled=False).wait_for()


def one_export(dag_id: str) -> Callable[[Page], None]:
    """The page of an export."""

    def go(page: Page) -> None:
        page.goto(f"{EXPORTS}?dag_id={dag_id}")
        page.locator("canvas").first.wait_for()
        page.get_by_role("region", name="Which column fills which merge field").wait_for()

    return go


def one_run(dag_id: str, run_id: str) -> Callable[[Page], None]:
    """The page of a run."""

    def go(page: Page) -> None:
        page.goto(f"{EXPORTS}?dag_id={dag_id}&run_id={quote(run_id, safe='')}")
        page.get_by_role("region", name="What became of the rows").wait_for()
        page.get_by_role("heading", name="Versions").wait_for()

    return go


@pytest.fixture(scope="module")
def pages(airflow: AirflowStack, exported: str) -> dict[str, Callable[[Page], None]]:
    """How to get to each page, by its name."""
    found = {
        "exports": list_of_exports,
        "asking": asking,
        "connections": connections,
        "export": one_export("weekly_letter" if PICTURES else EXPORT),
        "run": one_run(EXPORT, exported),
    }
    if PICTURES:
        (refused, *_) = airflow.call("GET", "/dags/win_back/dagRuns?order_by=-run_after")["dag_runs"]
        found["refused"] = one_run("win_back", refused["dag_run_id"])
    return found


@pytest.mark.parametrize(("theme", "size"), LOOKS)
def test_each_page_is_for_everybody(
    page: Page, pages: dict[str, Callable[[Page], None]], theme: str, size: str
) -> None:
    """Axe finds nothing serious in any page, whatever the theme and the width."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there; npm ci in web/ installs it")
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    found: dict[str, Any] = {}
    for name, go in pages.items():
        go(page)
        assert page.evaluate("document.documentElement.classList.contains('dark')") == (theme == "dark")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        # What fades in has another contrast on the way.
        page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")
        told = page.evaluate(ASK)
        assert told["passed"] > 10, "Axe has not looked at the page"
        found[name] = [one for one in told["violations"] if one["impact"] in SERIOUS]
        if PICTURES:
            _take(page, Path(PICTURES) / f"{name}-{theme}-{size}.png")
    assert {name: told for name, told in found.items() if told} == {}


def _take(page: Page, path: Path) -> None:
    """Take a picture of what a screen shows of a page."""
    page.evaluate("document.activeElement?.blur()")
    page.wait_for_timeout(300)
    page.screenshot(path=path)
