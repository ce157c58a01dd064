"""The connection form for Airflow 3.1, which does not read it from the provider's metadata yet."""

from __future__ import annotations

from typing import Any

from airflow_mailchimp_export.provider_info import get_provider_info


def _is_needed() -> bool:
    from airflow import __version__

    return tuple(int(part) for part in __version__.split(".")[:2]) < (3, 2)


IS_NEEDED = _is_needed()


def ui_field_behaviour(kind: str = "mailchimp") -> dict[str, Any]:
    """Return what is hidden, renamed and hinted at in the form of a type of connections."""
    behaviour = _connection_type(kind)["ui-field-behaviour"]
    return {key.replace("-", "_"): value for key, value in behaviour.items()}


def connection_form_widgets(kind: str = "mailchimp") -> dict[str, Any]:
    """Return a form field for each of the extras of a type of connections."""
    return {key: _widget(field) for key, field in _connection_type(kind)["conn-fields"].items()}


def _widget(field: dict[str, Any]) -> Any:
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, StringField

    schema = field["schema"]
    kinds = schema["type"]
    widget = BooleanField if "boolean" in kinds else IntegerField if "integer" in kinds else StringField
    shown = widget(
        lazy_gettext(field["label"]), description=field["description"], default=schema.get("default")
    )
    # For its form Airflow puts classes of its own in the place of these, and shows what their schema says; arguments of
    # fields know no sections, no lists and no words for a choice.
    if form := getattr(shown, "param", None):
        form.schema.update(schema)
    return shown


def _connection_type(kind: str) -> dict[str, Any]:
    types: list[dict[str, Any]] = get_provider_info()["connection-types"]
    return next(each for each in types if each["connection-type"] == kind)
