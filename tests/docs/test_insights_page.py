"""docs/customer-insights.md has the fields, keys, clouds, numbers and messages that the code has."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from airflow_mailchimp_export.customer_insights.client import Pace
from airflow_mailchimp_export.customer_insights.profiles import FEW_MEMBERS, IDS_OF_A_REQUEST
from airflow_mailchimp_export.customer_insights.protocol import MAX_PAGE_ROWS
from airflow_mailchimp_export.insights_form import insights_connection_type
from airflow_mailchimp_export.settings.insights import EXTRAS, InsightsSettings
from airflow_mailchimp_export.settings.insights_segments import InsightsFilesSpec, InsightsSpec
from airflow_mailchimp_export.settings.organisation import AUTHORITIES
from airflow_mailchimp_export.sources.insights_reading import ASKED_AGAIN
from tests.docs.pages import columns, names, page, pairs
from tests.docs.test_messages import texts_of_the_code

PAGE = page("customer-insights")
FORM = insights_connection_type()
DATAVERSES_OWN = {"The user is not a member of the organization", "is missing prvRead"}
STANDARD = {
    "host": "Organisation URL",
    "login": "Client id",
    "password": "Client secret",
    "port": "Port",
}


def test_fields() -> None:
    """The table has the fields of the form, by its labels, in its order, and examples that are taken."""
    rows = PAGE.table("The connection", "field", "key", "default", "example", "meaning")
    labels = {key: field["label"] for key, field in FORM["conn-fields"].items()}
    assert {
        key: label.partition(" (")[0] for key, label in FORM["ui-field-behaviour"]["relabeling"].items()
    } == STANDARD
    assert pairs(rows, 1, 0) == [*STANDARD.items(), *labels.items()]
    given = dict(pairs(rows, 1, 3))
    standard: dict[str, Any] = {key: given.pop(key) for key in STANDARD}
    settings = InsightsSettings.from_parts(**standard, extra=given)
    assert settings.unknown_extra == ()
    defaults = {one.name: one.default for one in fields(InsightsSettings)}
    shown = {key: default for key, default in pairs(rows, 1, 2) if key in ("max_connections", "timeout")}
    assert shown == {key: f"{defaults[key]:g}" for key in shown}
    assert given.keys() == EXTRAS.keys()


def test_clouds() -> None:
    """The table has each cloud with its authority."""
    rows = PAGE.table("The connection", "host of the organisation", "cloud", "authority")
    assert pairs(rows, 0, 2) == [
        (f"*.crm*.{host}", f"https://{authority}") for host, authority in AUTHORITIES.items()
    ]


def test_keys_of_segments() -> None:
    """Both tables have all keys, and the defaults."""
    for heading, spec in (
        ("A segment over the Web API", InsightsSpec),
        ("A segment of the file export", InsightsFilesSpec),
    ):
        rows = PAGE.table(heading, "key", "default", "meaning")
        assert {*names(rows)} == {"tag", *(one.name for one in fields(spec))}
        defaults = {one.name: one.default for one in fields(spec)}
        for key, default in columns(rows, 0, 1):
            if key not in ("tag", "conn_id", "segment", "uri"):
                known = defaults[key]
                assert default == ("" if known is None else str(known).lower())


def test_numbers() -> None:
    """The numbers in the text are those of the code."""
    prose = PAGE.prose
    assert IDS_OF_A_REQUEST == 40
    assert f"{MAX_PAGE_ROWS:,} profiles in a row" in prose
    assert f"fewer members than a {MAX_PAGE_ROWS // IDS_OF_A_REQUEST}th of all profiles" in prose
    assert f"up to {FEW_MEMBERS:,} members are asked for by id" in prose
    assert f"up to {ASKED_AGAIN:,}, are asked for by id" in prose
    assert (Pace().attempts, Pace().deadline) == (8, 1_800)


def test_messages() -> None:
    """Every message stands in the code, word for word."""
    messages = {*names(PAGE.table("Messages", "message", "meaning", "remedy"))} - DATAVERSES_OWN
    texts = texts_of_the_code()
    assert sorted(message for message in messages if message not in texts) == []
