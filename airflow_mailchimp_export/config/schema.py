"""The JSON Schema of ``exports.yaml``, for editors: made of the models, and shipped beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from airflow_mailchimp_export.config.models import Configuration

SCHEMA_FILE: Final = Path(__file__).with_name("exports.schema.json")

_VARIABLE: Final = {"type": "string", "pattern": r"\$\{\w+(:-[^}]*)?\}"}
"""In the place of whatever is no text, an environment variable may be named."""

_NOT_TEXT: Final = {"integer", "number", "boolean"}


def json_schema() -> dict[str, Any]:
    """Make the schema of the models."""
    schema = Configuration.model_json_schema()
    entries: dict[str, Any] = schema["$defs"]
    # What an export lacks, the defaults may have.
    entries["Export"].pop("required")
    entries["Export"]["properties"]["options"].pop("default")
    properties = schema["properties"]
    properties["defaults"] = {
        "$ref": "#/$defs/Export",
        "description": "what every export has that says nothing else",
    }
    properties["profiles"] = {
        "description": properties["profiles"]["description"],
        "anyOf": [{"type": "string"}, {"$ref": "#/$defs/Profiles"}],
    }
    properties["segments"] = {
        "description": properties["segments"]["description"]
        + "; or the file that holds them, beside this one",
        "anyOf": [{"type": "string"}, _mapping_of("Segment")],
    }
    properties["exports"] = {
        "description": properties["exports"]["description"],
        **_mapping_of("Export", or_nothing=True),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_tidied(schema),
        "title": "Exports to Mailchimp",
        "patternProperties": {"^x-": {"description": "what is only there to be referred to by anchors"}},
    }


def json_schema_text() -> str:
    """Write the schema as it is shipped."""
    return json.dumps(json_schema(), indent=2) + "\n"


def _mapping_of(entry: str, *, or_nothing: bool = False) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{entry}"}
    value = {"anyOf": [reference, {"type": "null"}]} if or_nothing else reference
    return {"type": "object", "additionalProperties": value}


def _tidied(part: Any) -> Any:
    """Leave out titles, and let variables stand for what is no text."""
    if isinstance(part, list):
        return [_tidied(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    kept = {key: _tidied(value) for key, value in part.items() if not _is_noise(key, value)}
    if str(kept.get("type")) in _NOT_TEXT or "enum" in kept:
        about = {key: kept.pop(key) for key in ("default", "description") if key in kept}
        return {"anyOf": [kept, _VARIABLE], **about}
    return kept


def _is_noise(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
