"""docs/configuration.md has every key of exports.yaml with its default, and shows files that are taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from airflow_mailchimp_export.config.alerts import Alert, AlertEvent
from airflow_mailchimp_export.config.calling import Done, Http
from airflow_mailchimp_export.config.entries import Export, Refresh, Segment
from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.profiles import Profiles
from airflow_mailchimp_export.config.values import BY_HAND, PRESETS, WITH_REFRESH
from airflow_mailchimp_export.options import ExportOptions
from airflow_mailchimp_export.settings.approval import ApprovalMode
from airflow_mailchimp_export.settings.file_options import FILE_OPTIONS
from tests.docs.pages import REPOSITORY, Block, names, page, pairs

SHOWN = [
    block for block in page("configuration").blocks if block.language == "yaml" and "exports:\n" in block.code
]


@pytest.mark.parametrize(("heading", "model"), [("The refresh", Refresh), ("Exports", Export)])
def test_keys(heading: str, model: type[BaseModel]) -> None:
    """The table has the keys of the entry, with their defaults."""
    shown = pairs(page("configuration").table(heading, "key", "default", "meaning"))
    assert shown == keys_of(model)


def test_keys_of_segments() -> None:
    """The table has the keys of a segment; the options of files have a page of their own."""
    shown = pairs(page("configuration").table("Segments", "key", "default", "meaning"))
    options = {"format", *FILE_OPTIONS}
    assert sorted(shown) == sorted(pair for pair in keys_of(Segment) if pair[0] not in options)


def test_keys_of_profiles() -> None:
    """The table has the keys of the profiles; of the options of files it shows that there are some."""
    shown = names(page("configuration").table("Profiles", "key", "what it says"))
    assert {*shown, *FILE_OPTIONS} == set(Profiles.model_fields)


def test_keys_of_a_refresh_by_another_system() -> None:
    """The two tables have the keys of the call and of its end, with their defaults."""
    shown = pairs(page("configuration").table("A refresh by another system", "key", "default", "meaning"))
    assert shown == [*keys_of(Http), *keys_of(Done)]


def test_keys_at_the_top() -> None:
    """The table has the keys of the file; defaults are its own affair."""
    shown = names(page("configuration").table("How it is written", "key", "meaning"))
    assert [name for name in shown if name != "segments.yaml"] == [
        *list(Configuration.model_fields)[:-1],
        "defaults",
        "exports",
    ]


def test_schedules() -> None:
    """The table has the words and presets that a schedule may be."""
    shown = names(page("configuration").table("Schedules", "schedule", "when it runs"))
    assert shown == [WITH_REFRESH, BY_HAND, *PRESETS, "0 6 * * 1-5"]


def test_files() -> None:
    """The files that make DAGs are there, and no others."""
    shown = names(page("configuration").table("Exports as configuration", "file", "what it does"))
    assert shown == sorted(file.name for file in (REPOSITORY / "dags").glob("*.py"))


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_blocks(block: Block, tmp_path: Path) -> None:
    """Every configuration that is shown has no mistakes."""
    file = tmp_path / "exports.yaml"
    file.write_text(block.code)
    assert load(file).mistakes == ()


def keys_of(model: type[BaseModel]) -> list[tuple[str, str]]:
    """Return the keys of an entry, with their defaults as the page writes them."""
    return [(name, spelled(field.default)) for name, field in model.model_fields.items()]


def spelled(default: object) -> str:
    """Write a default as the page does."""
    if default is PydanticUndefined:
        return "required"
    if default == ExportOptions():
        return "{}"
    return repr(getattr(default, "value", default)).replace("'", '"')


def test_alerts() -> None:
    """The tables have the keys of an alert, with their defaults, and the events."""
    table = page("configuration").table("Alerts", "alert key", "default", "meaning")
    assert names(table) == list(Alert.model_fields)
    assert names(page("configuration").table("Alerts", "event", "when it is told")) == [*AlertEvent]


def test_approval() -> None:
    """The table has every way to ask."""
    assert names(page("configuration").table("Approval", "approval", "when somebody is asked")) == [
        *ApprovalMode
    ]
