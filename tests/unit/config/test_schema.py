"""The JSON Schema that is shipped for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.schema import SCHEMA_FILE, json_schema_text

SHIPPED = Path(__file__).resolve().parents[3] / "dags" / "exports.yaml"


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The schema as it is shipped."""
    return Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def test_it_is_that_of_the_models() -> None:
    """Whoever changes the models writes it again: python -m airflow_mailchimp_export.config schema > its file."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema_text()


def test_it_is_a_schema(schema: Draft202012Validator) -> None:
    """It holds to the standard that it names, and says of each key of an export what it is for."""
    Draft202012Validator.check_schema(schema.schema)
    keys = schema.schema["$defs"]["Export"]["properties"]
    assert list(keys) == list(Export.model_fields)
    assert all(key["description"] for key in keys.values())
    assert all(option["description"] for option in keys["options"]["properties"].values())


def test_the_shipped_file_holds_to_it(schema: Draft202012Validator) -> None:
    """An editor has nothing to say of it, and finds the schema by the comment at its beginning."""
    text = SHIPPED.read_text(encoding="utf-8")
    assert list(schema.iter_errors(yaml.safe_load(text))) == []
    _, _, place = text.splitlines()[0].partition("$schema=")
    assert (SHIPPED.parent / place).resolve() == SCHEMA_FILE


def errors(schema: Draft202012Validator, export: dict[str, Any]) -> list[str]:
    """Return where an editor would underline something in an export."""
    content = {"profiles": "p", "snapshots": "s", "segments": {}, "exports": {"one": export}}
    return ["/".join(map(str, error.path)) for error in schema.iter_errors(content)]


@pytest.mark.parametrize(
    "export",
    [
        {},
        {"audience_id": 4120358967},
        {"connections": "${MAX:-8}", "enabled": "${ON}", "delivery": "${DELIVERY:-batch}"},
        {"options": {"max_removal_ratio": 1, "keep_runs": "${RUNS:-3}"}},
        {"fields": {"ADDRESS": {"addr1": "street"}, "PHONE": "phone"}, "first_name": {"column": "a"}},
    ],
)
def test_what_it_takes(schema: Draft202012Validator, export: dict[str, Any]) -> None:
    """Variables may stand for whatever is no text, and keys may be left to the defaults."""
    assert errors(schema, export) == []


@pytest.mark.parametrize(
    "export",
    [
        {"approval": "sometimes"},
        {"delivery": "pigeon"},
        {"on_leave": "forget"},
        {"connections": 11},
        {"connections": "many"},
        {"options": {"profile_id": "id"}},
        {"options": {"new_member_status": "cleaned"}},
        {"segments": {"vip": 1}},
    ],
)
def test_what_it_refuses(schema: Draft202012Validator, export: dict[str, Any]) -> None:
    """What the package would refuse is underlined while it is typed."""
    assert errors(schema, export) == ["exports/one"]
