"""The connection form for Airflow 3.1, which does not read it from the provider's metadata yet."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.provider_info import get_provider_info


def _is_needed() -> bool:
    from airflow import __version__

    return tuple(int(part) for part in __version__.split(".")[:2]) < (3, 2)


IS_NEEDED = _is_needed()


def ui_field_behaviour() -> dict[str, Any]:
    """Return what is hidden, renamed and hinted at in the form."""
    behaviour = _connection_type()["ui-field-behaviour"]
    return {key.replace("-", "_"): value for key, value in behaviour.items()}


def connection_form_widgets() -> dict[str, Any]:
    """Return a form field for each of the connection's extras."""
    return {key: _widget(field) for key, field in _connection_type()["conn-fields"].items()}


def _widget(field: dict[str, Any]) -> Any:
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, StringField

    kinds = field["schema"]["type"]
    named = [kinds] if isinstance(kinds, str) else kinds
    widget = BooleanField if "boolean" in named else IntegerField if "integer" in named else StringField
    return widget(lazy_gettext(field["label"]), default=field["schema"].get("default"))


def _connection_type() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type
