"""docs/export.md has every parameter, option and key, and says of values what really becomes of them."""

from __future__ import annotations

import datetime
import inspect
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.field_map import parse_field_map
from airflow_mailchimp_export.fields.values import Problem, converter
from airflow_mailchimp_export.model import MergeField
from airflow_mailchimp_export.options import OPTIONS, ExportOptions
from airflow_mailchimp_export.sandbox.merge_fields import MergeType
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.state import notes
from airflow_mailchimp_export.state import run as run_files
from tests.docs.pages import columns, names, page, pairs, spans

if TYPE_CHECKING:
    from airflow.sdk import DAG


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("SegmentToMailchimpOperator", "The operator"),
        ("MailchimpBatchSensor", "MailchimpBatchSensor"),
        ("MailchimpExportReportOperator", "MailchimpExportReportOperator"),
    ],
)
def test_parameters(name: str, heading: str) -> None:
    """The table has the parameters of the operator, with their defaults."""
    shown = pairs(page("export").table(heading, "parameter", "default", "meaning"))
    parameters = inspect.signature(operator(name).__init__).parameters.values()
    assert shown == [
        (parameter.name, "Airflow's" if parameter.name == "deferrable" else spelled(parameter.default))
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def test_templates() -> None:
    """The sentence on templates names the operator's template fields."""
    sentence = next(line for line in page("export").prose.splitlines() if line.endswith("are templates."))
    assert tuple(spans(sentence)) == operator("SegmentToMailchimpOperator").template_fields


def test_xcom() -> None:
    """The sentence on the XCom names its keys."""
    from airflow_mailchimp_export.operators import results

    sentence = next(
        line for line in page("export").prose.splitlines() if line.startswith("It returns, as XCom")
    )
    source = inspect.getsource(results)
    assert all(f'"{key}": ' in source for key in spans(sentence))


def test_options() -> None:
    """The table has the options, with their defaults."""
    shown = pairs(page("export").table("Options", "option", "default", "meaning"))
    assert shown == [(one.name, spelled(one.default)) for one in fields(ExportOptions)]
    assert [name for name, _ in shown] == list(OPTIONS)


def test_segment_keys() -> None:
    """The table has the keys that a segment takes."""
    with pytest.raises(ConfigError) as caught:
        parse_segments({"VIP": {"uri": "vip.csv", "mistyped": 1}})
    allowed = str(caught.value).rpartition("Allowed are ")[2].rstrip(".").split(", ")
    assert names(page("export").table("Segments", "key", "meaning")) == allowed


def test_field_map_keys() -> None:
    """The table has the keys that an entry of the field map takes."""
    with pytest.raises(ConfigError) as caught:
        parse_field_map({"EMAIL": "email", "FNAME": {"mistyped": 1}})
    allowed = str(caught.value).rpartition("Allowed are ")[2].rstrip(".").split(", ")
    assert [key for key, _ in pairs(page("export").table("Field map", "key", "meaning"))] == allowed


def test_values() -> None:
    """Every value becomes what the table says, and every type of merge field is there."""
    table = columns(
        page("export").table("What each type takes", "type", "value at the source", "sent"), 0, 1, 2
    )
    for merge_type, given, sent in table:
        field = MergeField("FIELD", "Field", merge_type, choices=("Gold", "Silver"))
        result = converter(field)(eval(given, {"datetime": datetime}))
        shown = result.kind.value if isinstance(result, Problem) else result
        assert shown == (sent if sent.startswith("not_") else eval(sent))
    assert {row[0] for row in table} == {kind.value for kind in MergeType}


def test_files() -> None:
    """The table has the files that a run leaves."""
    known = {**vars(run_files), **vars(notes)}
    constants = {name: value for name, value in known.items() if name.isupper() and name[0] != "_"}
    files = {value for value in constants.values() if isinstance(value, str) and "." in value[1:]}
    assert set(names(page("export").table("Files", "file", "what is in it"))) == files


def test_form(shipped_dags: dict[str, DAG]) -> None:
    """The table has what the shipped DAG's form asks for, with its defaults."""
    dag = shipped_dags["mailchimp_segment_export"]
    asked = {name: param.value for name, param in dag.params.items()} | {"segments": "all"}
    shown = pairs(page("export").table("By hand and on a schedule", "key", "default", "asks"))
    assert shown == [
        (name, default if name == "segments" else json.dumps(default)) for name, default in asked.items()
    ]


def operator(name: str) -> Any:
    """Return an operator or a sensor."""
    from airflow_mailchimp_export import operators, sensors

    return getattr(operators, name, None) or getattr(sensors, name)


def spelled(default: object) -> str:
    """Write a default as the page does."""
    if default is inspect.Parameter.empty:
        return "required"
    return repr(getattr(default, "value", default)).replace("'", '"')
