"""docs/connection.md has every field of the connection, and the errors that wrong values bring about."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.provider_info import get_provider_info
from airflow_mailchimp_export.settings.connection import EXTRAS, ConnectionSettings
from tests.docs.pages import columns, page, pairs

KEY = "0123456789abcdef0123456789abcdef-us21"
FORM = get_provider_info()["connection-types"][0]
STANDARD = {"password": "API key or OAuth token", "host": "Base URL", "port": "Port"}


def fields_table() -> list[tuple[str, ...]]:
    """Return the table of the fields."""
    return page("connection").table("Fields", "field", "key", "default", "example", "meaning")


def errors_table() -> list[tuple[str, ...]]:
    """Return the table of wrong values."""
    return page("connection").table("What is wrong with a value", "key", "value", "error")


def test_fields() -> None:
    """The table has the fields of the form, by the form's labels, in its order."""
    labels = {key: field["label"] for key, field in FORM["conn-fields"].items()}
    relabeling = FORM["ui-field-behaviour"]["relabeling"]
    assert {key: label.partition(" (")[0] for key, label in relabeling.items()} == STANDARD
    assert pairs(fields_table(), 1, 0) == [*STANDARD.items(), *labels.items()]
    assert {key: extra.label for key, extra in EXTRAS.items()} == labels


def test_defaults() -> None:
    """The defaults are those of the settings and of the form."""
    settings = {one.name: one.default for one in fields(ConnectionSettings)}
    extras = [(key, default) for key, default in pairs(fields_table(), 1, 2) if key in EXTRAS]
    assert extras == [(key, spelled(settings[key])) for key in EXTRAS]
    assert extras == [
        (key, spelled(field["schema"].get("default"))) for key, field in FORM["conn-fields"].items()
    ]


def test_examples() -> None:
    """Every example is a value that its field takes, and of an extra one that makes a difference."""
    for key, example in pairs(fields_table(), 1, 3):
        settings = read(**{key: example})
        assert key in (*STANDARD, "server_prefix") or settings != read()


def test_errors() -> None:
    """Every error that is shown is what that value brings about."""
    for key, value, message in columns(errors_table(), 0, 1, 2):
        with pytest.raises(ConfigError) as caught:
            read(**{key: value})
        assert str(caught.value) == message


def test_errors_of_each_field() -> None:
    """Every field that can be wrong is among the errors."""
    assert {key for key, _ in pairs(errors_table())} == {*STANDARD, *EXTRAS} - {"export_user"}


def read(**given: str) -> ConnectionSettings:
    """Read a connection with these fields."""
    parts: dict[str, Any] = {"password": KEY, "host": None, "port": None, "schema": None, "extra": {}}
    for key, value in given.items():
        (parts if key in parts else parts["extra"])[key] = value
    return ConnectionSettings.from_parts(**parts)


def spelled(default: object) -> str:
    """Write a default as the page does; no default is blank."""
    return "" if default in (None, "", ()) else str(default).lower().removesuffix(".0")
