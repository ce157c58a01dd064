"""What Airflow learns of the pages, and what that costs every process that does."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from typing import Any

import pytest

IMPORT = """
import json, sys
import airflow.plugins_manager
before = set(sys.modules)
from airflow_mailchimp_export.plugin import MailchimpExportPlugin as plugin
print("found:" + json.dumps({"new": sorted(set(sys.modules) - before), "all": sorted(sys.modules)}))
"""

HEAVY = {"fastapi", "starlette", "pandas", "duckdb", "pyarrow", "numpy", "pydantic"}


@pytest.fixture(scope="module")
def modules() -> Any:
    """The modules of a process that imports the plugin."""
    run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    (line,) = (line for line in run.stdout.splitlines() if line.startswith("found:"))
    return json.loads(line.removeprefix("found:"))


def test_a_worker_imports_next_to_nothing(modules: Any) -> None:
    """Of the package it imports the plugin alone, and nothing else but the package itself."""
    assert set(modules["new"]) <= {"airflow_mailchimp_export", "airflow_mailchimp_export.plugin"}


def test_a_worker_imports_nothing_of_the_web(modules: Any) -> None:
    """Neither FastAPI nor pandas nor DuckDB is there, by whatever way."""
    assert not {name.partition(".")[0] for name in modules["all"]} & {
        "fastapi",
        "starlette",
        "pandas",
        "duckdb",
    }
    assert not [name for name in modules["new"] if name.partition(".")[0] in HEAVY]


@pytest.mark.parametrize(
    ("base_url", "bundle"),
    [
        ("http://airflow.example", "/mailchimp/static/main.js"),
        ("http://airflow.example/", "/mailchimp/static/main.js"),
        ("https://example.com/team/airflow ", "/team/airflow/mailchimp/static/main.js"),
        ("https://example.com/team/airflow/", "/team/airflow/mailchimp/static/main.js"),
    ],
)
def test_the_bundle_is_found_behind_a_base_url(
    base_url: str, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address has the path of the base URL, for Airflow 3.1 does not put it before."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    from airflow_mailchimp_export import plugin as known

    # Read anew, because the address is made when Airflow imports the module.
    plugin = runpy.run_path(known.__file__)["MailchimpExportPlugin"]
    assert {page["bundle_url"] for page in plugin.react_apps} == {bundle}
    (link,) = plugin.external_views
    assert link["href"] == bundle.replace("static/main.js", "sign-in")


def test_the_page_for_signing_in_is_where_the_link_leads() -> None:
    """Its addresses are made at two places, because the plugin imports nothing of the package."""
    from airflow_mailchimp_export.pages.sign_in.place import path_of
    from airflow_mailchimp_export.plugin import SIGN_IN

    assert path_of() == SIGN_IN


def test_every_page_has_a_route_of_its_own() -> None:
    """A page of the navigation, a tab on a DAG, and one on a run."""
    from airflow_mailchimp_export.plugin import PAGES

    pages = PAGES
    assert {page["destination"]: page["url_route"] for page in pages} == {
        "nav": "mailchimp",
        "dag": "mailchimp-export",
        "dag_run": "mailchimp-run",
    }
