"""The JSON Schema that is shipped for who reads what is published."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.published.building import of_error
from airflow_mailchimp_export.published.fitting import fitted
from airflow_mailchimp_export.published.models import PublishedReport
from airflow_mailchimp_export.published.schema import SCHEMA_FILE, json_schema_text
from tests.unit.published.test_building import KNOWN, published, report

SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def content() -> dict[str, Any]:
    """Make something that is published."""
    return fitted(published(report()))


def test_it_is_that_of_the_model() -> None:
    """Whoever changes the model writes it again: python -m airflow_mailchimp_export.published > its file."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema_text()


def test_it_explains_every_key() -> None:
    """It holds to the standard that it names, and says of each key what it is for."""
    Draft202012Validator.check_schema(SCHEMA)
    parts = [SCHEMA, *SCHEMA["$defs"].values()]
    assert all(key["description"] for part in parts for key in part.get("properties", {}).values())


@pytest.mark.parametrize("told", [content(), fitted(of_error(ConfigError("Wrong", "Mend it"), KNOWN))])
def test_what_is_published_holds_to_it(told: dict[str, Any]) -> None:
    """So does what the model reads back."""
    Draft202012Validator(SCHEMA).validate(told)
    assert PublishedReport.model_validate(told).model_dump(mode="json", by_alias=True) == told


@pytest.mark.parametrize("change", [{"schema": 2}, {"verdict": "fine"}, {"counts": {}}, {"problem": {}}])
def test_anything_else_does_not(change: dict[str, Any]) -> None:
    """Another number, an unknown verdict, or counts that are none."""
    assert list(Draft202012Validator(SCHEMA).iter_errors({**content(), **change}))
