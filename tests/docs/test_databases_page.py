"""docs/databases.md has the keys of a query, and the messages that the code has."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.databases.result import FETCH_ROWS
from tests.docs.pages import names, page, spans
from tests.docs.test_messages import texts_of_the_code


def test_keys() -> None:
    """The table has the keys that a segment with a query takes."""
    with pytest.raises(ConfigError) as caught:
        parse_segments({"VIP": {"conn_id": "crm", "sql": "select 1", "mistyped": 1}})
    allowed = str(caught.value).rpartition("Allowed are ")[2].rstrip(".").split(", ")
    assert names(page("databases").table("Databases", "key", "meaning")) == allowed


def test_messages() -> None:
    """Every message stands in the code, word for word."""
    rows = page("databases").table("What goes wrong", "message", "remedy")
    texts = texts_of_the_code()
    assert len(rows) > 20
    assert [row[0] for row in rows for message in spans(row[0]) if message not in texts] == []


def test_rows_at_a_time() -> None:
    """The page says how many rows are fetched at a time."""
    assert f"at most {FETCH_ROWS:,} at a time" in page("databases").text
