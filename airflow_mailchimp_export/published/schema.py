"""The JSON Schema of what is published, for whoever reads it: made of the model, and shipped beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from airflow_mailchimp_export.published.models import PublishedReport

SCHEMA_FILE: Final = Path(__file__).with_name("mailchimp_report.schema.json")


def json_schema() -> dict[str, Any]:
    """Make the schema of the model."""
    made = PublishedReport.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_titles(made),
        "title": "What a run of an export to Mailchimp came to",
    }


def json_schema_text() -> str:
    """Write the schema as it is shipped."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _without_titles(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_titles(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _without_titles(value)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str))
    }
