"""docs/configuration.md has every key of exports.yaml with its default, and shows files that are taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from airflow_mailchimp_export.config.entries import Export, Refresh, Segment
from airflow_mailchimp_export.config.loading import load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.values import BY_HAND, PRESETS, WITH_REFRESH
from airflow_mailchimp_export.options import ExportOptions
from tests.docs.pages import REPOSITORY, Block, names, page, pairs

SHOWN = [
    block for block in page("configuration").blocks if block.language == "yaml" and "exports:\n" in block.code
]


@pytest.mark.parametrize(
    ("heading", "model"), [("Segments", Segment), ("The refresh", Refresh), ("Exports", Export)]
)
def test_keys(heading: str, model: type[BaseModel]) -> None:
    """The table has the keys of the entry, with their defaults."""
    shown = pairs(page("configuration").table(heading, "key", "default", "meaning"))
    assert shown == [(name, spelled(field.default)) for name, field in model.model_fields.items()]


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


def spelled(default: object) -> str:
    """Write a default as the page does."""
    if default is PydanticUndefined:
        return "required"
    if default == ExportOptions():
        return "{}"
    return repr(getattr(default, "value", default)).replace("'", '"')
