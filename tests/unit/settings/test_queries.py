"""Segments that are queries: what is said of them, and what may be shown of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from airflow_mailchimp_export.settings.queries import SqlSpec
from airflow_mailchimp_export.settings.segments import Segment, parse_segments


def query(**given: Any) -> SqlSpec:
    """The query of a segment."""
    (segment,) = parse_segments({"VIP": {"conn_id": "crm", "sql": "select 1", **given}})
    assert isinstance(segment.source, SqlSpec)
    return segment.source


def test_a_query() -> None:
    """A segment names its connection, its query and, if need be, parameters and a tag."""
    given = {
        "conn_id": " crm ",
        "sql": " select email from people;\n",
        "parameters": {"since": 7},
        "tag": "Very",
    }
    assert parse_segments({"VIP": given}) == (
        Segment("VIP", "Very", SqlSpec("crm", "select email from people", {"since": 7})),
    )


def test_a_query_in_json_text() -> None:
    """A query may come as JSON text, as a form or a template gives it."""
    text = '{"VIP": {"conn_id": "crm", "sql": "select 1", "parameters": [1, "x"]}}'
    assert parse_segments(text)[0].source == SqlSpec("crm", "select 1", (1, "x"))


def test_a_query_that_looks_like_json() -> None:
    """The text of a query stays as it is, whatever it begins with."""
    assert query(sql='[a] is no JSON, and {"b": 1} is').sql == '[a] is no JSON, and {"b": 1} is'


@pytest.mark.parametrize("nothing", [None, "", {}, [], "{}", "[]"])
def test_no_parameters(nothing: object) -> None:
    """Without parameters a per cent sign means itself, so that empty ones count as none."""
    assert query(parameters=nothing).parameters is None


def test_adbc() -> None:
    """ADBC may be switched off, which makes no other run: the rows are the same."""
    assert query().adbc
    assert query(adbc=None).adbc
    assert not query(adbc="false").adbc
    assert repr(query(adbc=False)) == repr(query())


def test_what_is_shown() -> None:
    """Neither the query's text nor a parameter is shown: there may be a person in them."""
    shown = repr(query(sql="select 'ada@mail.eu'", parameters={"name": "Lovelace"}))
    assert "crm" in shown
    assert "ada" not in shown
    assert "Lovelace" not in shown


@pytest.mark.parametrize(
    "other",
    [
        {"sql": "select 2"},
        {"conn_id": "erp"},
        {"parameters": {"since": 1}},
        {"parameters": {"since": "1"}},
        {"parameters": {"since": date(2026, 1, 1)}},
        {"parameters": [1]},
    ],
)
def test_how_a_run_is_told_from_another(other: dict[str, Any]) -> None:
    """Another query, other parameters or another database make another run."""
    assert repr(query(**other)) != repr(query())


def test_the_order_of_parameters() -> None:
    """The same parameters in another order make no other run."""
    assert repr(query(parameters={"a": 1, "b": 2})) == repr(query(parameters={"b": 2, "a": 1}))
