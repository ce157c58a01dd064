"""A configuration that is made in Python, from wherever somebody keeps their exports."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mailchimp_export.config.entries import Export
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.options import ExportOptions

SEGMENTS = {"vip": {"name": "VIP", "where": "spent > 1000"}}


def made(**exports: Any) -> Configuration:
    """Make a configuration with these exports."""
    return Configuration.model_validate(
        {"profiles": "p.parquet", "snapshots": "/snapshots/", "segments": SEGMENTS, "exports": exports}
    )


def test_values_may_have_their_types_already() -> None:
    """Numbers, switches, lists and options are taken as they are, and ids of digits as numbers."""
    configuration = made(
        one={
            "email": "mail",
            "segments": ["vip"],
            "audience_id": 4120358967,
            "connections": 5,
            "enabled": True,
            "options": ExportOptions(keep_runs=3, profile_id="id"),
        },
        two={"email": "mail", "segments": ["vip"], "enabled": False, "options": {"keep_runs": 4}},
    )
    one, two = configuration.exports.values()
    assert (one.audience_id, one.connections, one.options.keep_runs, two.options.keep_runs) == (
        "4120358967",
        5,
        3,
        4,
    )
    assert (one.operator_options["profile_id"], two.operator_options["profile_id"]) == ("id", None)
    assert list(configuration.enabled) == ["one"]
    assert configuration.names_of(one) == {"vip": "VIP"}


def test_references_are_checked() -> None:
    """An export of a segment that is not there is refused, with the path of the key and the remedy."""
    with pytest.raises(
        ValidationError, match=r"exports\.one\.segments\[0\]: 'vpi' is no segment \(did you mean 'vip'"
    ):
        made(one={"email": "mail", "segments": ["vpi"]})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("options", "keep_runs", "a mapping of options"),
        ("fields", "phone", "a mapping of merge tags and columns"),
        ("description", 1, "text"),
        ("pool", "  \n ", None),
        ("pool", "two\nlines", "one line of text"),
        ("segments", {"vip": 1}, "a list of names"),
        ("options", {"keep_runs": 0}, "options|keep_runs: must be a whole number from 1 upwards"),
        ("surprise", 1, "Extra inputs are not permitted"),
    ],
)
def test_values_of_a_wrong_kind(key: str, value: object, message: str | None) -> None:
    """Each is refused with what it must be; blank ones count as unset."""
    given = {"email": "mail", "segments": ["vip"], key: value}
    if message is None:
        assert Export.model_validate(given).pool == "default_pool"
        return
    with pytest.raises(ValidationError, match=message):
        Export.model_validate(given)


def test_a_configuration_does_not_change() -> None:
    """What DAGs were built of stays what it was."""
    configuration = made()
    with pytest.raises(ValidationError, match="frozen"):
        configuration.snapshots = "elsewhere"  # type: ignore[misc]
