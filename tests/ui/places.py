"""Where the pages of the plugin are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.live_airflow import EXPORT

if TYPE_CHECKING:
    from playwright.sync_api import Page

REPOSITORY = Path(__file__).resolve().parents[2]
EXPORTS = "/plugin/mailchimp"
BUILT = REPOSITORY / "airflow_mailchimp_export" / "pages" / "static" / "main.js"

built = pytest.mark.skipif(not BUILT.is_file(), reason="the pages are not built; make setup does it with npm")


def run_page(run_id: str, dag_id: str = EXPORT) -> str:
    """Where the tab of a run is."""
    return f"/dags/{dag_id}/runs/{quote(run_id, safe='')}/plugin/mailchimp-run"


def run_of(page: Page) -> str:
    """The run whose page is shown."""
    return parse_qs(urlsplit(page.url).query)["run_id"][0]
