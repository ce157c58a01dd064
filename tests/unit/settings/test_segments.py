"""The segments of an export, as users write them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.file_options import Compression, FileOptions
from airflow_mailchimp_export.settings.insights_segments import ProfileRead
from airflow_mailchimp_export.settings.segments import (
    FileFormat,
    FileSpec,
    InsightsFilesSpec,
    InsightsSpec,
    Segment,
    TableSpec,
    parse_segments,
)


def refusal(segments: Any) -> str:
    """Say how segments are refused."""
    with pytest.raises(ConfigError) as caught:
        parse_segments(segments)
    return str(caught.value)


class TestSegments:
    """Which profiles are exported, and under which tags."""

    def test_uris(self) -> None:
        """A URI alone makes a segment whose tag is its name."""
        assert parse_segments({"VIP": "s3://lake/vip/", "New": " /data/*.csv "}) == (
            Segment("VIP", "VIP", FileSpec("s3://lake/vip/")),
            Segment("New", "New", FileSpec("/data/*.csv")),
        )

    def test_described_files(self) -> None:
        """A mapping says more of the files."""
        described = {"uri": "s3://lake/vip", "format": "CSV", "tag": "Very", "conn_id": "aws"}
        assert parse_segments({"VIP": described}) == (
            Segment("VIP", "Very", FileSpec("s3://lake/vip", FileFormat.CSV, "aws")),
        )

    @pytest.mark.parametrize(
        "text", ['{"VIP": {"uri": "x.csv", "tag": "Very"}}', {"VIP": '{"uri": "x.csv", "tag": "Very"}'}]
    )
    def test_json_text(self, text: Any) -> None:
        """All segments, or one of them, may be JSON text, as a template gives it."""
        assert parse_segments(text) == (Segment("VIP", "Very", FileSpec("x.csv")),)

    def test_unset_keys(self) -> None:
        """Null and empty text in a mapping count as unset."""
        described = {"uri": "x.csv", "format": "", "tag": None, "conn_id": None}
        assert parse_segments({"VIP": described}) == (Segment("VIP", "VIP", FileSpec("x.csv")),)

    @pytest.mark.parametrize("table", [pd.DataFrame({"a": [1]}), pa.table({"a": [1]})])
    def test_tables(self, table: Any) -> None:
        """Data frames and tables are taken as they are."""
        (segment,) = parse_segments({"VIP": table})
        assert isinstance(segment.source, TableSpec)
        assert segment.source.table is table

    def test_wrapped_tables(self) -> None:
        """A table that was wrapped before, so that it is not printed on its way, is taken out again."""
        source = TableSpec(pa.table({"a": [1]}))
        assert parse_segments({"VIP": source})[0].source is source

    def test_tables_are_not_printed(self) -> None:
        """Printing a segment shows none of its profiles."""
        assert "ann@example.com" not in repr(
            parse_segments({"VIP": pd.DataFrame({"a": ["ann@example.com"]})})
        )

    def test_shared_tags(self) -> None:
        """Two segments may carry the same tag."""
        segments = parse_segments({"a": {"uri": "a.csv", "tag": "t"}, "b": {"uri": "b.csv", "tag": "t"}})
        assert [segment.tag for segment in segments] == ["t", "t"]

    @pytest.mark.parametrize("name", ["x" * 100, "Ünï 😀 & co", "0"])
    def test_tags(self, name: str) -> None:
        """Up to 100 characters of any script make a tag."""
        assert parse_segments({name: "x.csv"})[0].tag == name

    @pytest.mark.parametrize("name", ["", "x" * 101, " VIP", "VIP ", "a\tb", "a\nb", "a\x00b", "\u2028"])
    def test_names_that_are_no_tags(self, name: str) -> None:
        """A name that cannot be a tag is refused, not mended: two segments could become one."""
        assert "its name cannot be a tag in Mailchimp: it must be text of 1 to 100 characters" in refusal(
            {name: "x.csv"}
        )

    @pytest.mark.parametrize("tag", ["", " ", 7, "x" * 101])
    def test_wrong_tags(self, tag: object) -> None:
        """A tag of its own is checked like a name."""
        assert "segment 'VIP': tag cannot be a tag in Mailchimp" in refusal({"VIP": {"uri": "x", "tag": tag}})

    @pytest.mark.parametrize(
        ("segments", "says"),
        [
            ({}, "segments is empty. Name at least one segment"),
            (
                "{'VIP': 'x.csv'}",
                "segments must be JSON where it begins with { or [: let the template write it, "
                "as {{ macros.json.dumps(params.segments) }} does; given was text of 16 characters.",
            ),
            ('{"VIP": "a.csv", "VIP": "b.csv"}', "segments must be JSON in which each name stands once"),
            ("x.csv", "segments must be a mapping with names as keys; given was text of 5 characters."),
            (["x.csv"], "segments must be a mapping with names as keys; given was a value of type list."),
            (None, "segments must be a mapping with names as keys; given was null."),
            ({1: "x.csv"}, "segments must be a mapping with names as keys"),
            (
                {"VIP": 7},
                "segment 'VIP' must be a URI, a mapping with the key 'uri' or 'sql', or a data frame",
            ),
            ({"VIP": ""}, "segment 'VIP': uri must name a file, a folder or a glob; given was empty text."),
            ({"VIP": "{'uri': 'x'}"}, "segment 'VIP' must be JSON where it begins with { or ["),
            ({"VIP": '["x.csv"]'}, "segment 'VIP' must be a URI, a mapping with the key 'uri'"),
            ({"VIP": {"uri": "{'a': 1}"}}, "which looks like a mapping or list that became text"),
            ({"VIP": {"format": "csv"}}, "segment 'VIP' has no 'uri'"),
            ({"VIP": {"uri": 7}}, "segment 'VIP': uri must be one line of text; given was a whole number."),
            (
                {"VIP": {"uri": "x", "fromat": "csv"}},
                "segment 'VIP' has unknown keys: 'fromat' (did you mean 'format'?). Allowed are uri,",
            ),
            ({"VIP": {"uri": "x", 1: 2}}, "segment 'VIP' must be a mapping with names as keys"),
            ({"VIP": {"uri": "x", "format": "xls"}}, "segment 'VIP': format must be 'parquet' or 'csv'"),
            ({"VIP": {"uri": "x", "conn_id": 7}}, "segment 'VIP': conn_id must be one line of text"),
            ({"VIP": {"sql": "select 1"}}, "segment 'VIP' has 'sql' and no 'conn_id'"),
            (
                {"VIP": {"conn_id": "crm", "sql": "select 1", "uri": "x.csv"}},
                "segment 'VIP' has both 'uri' and 'sql'. Leave one of them out",
            ),
            (
                {"VIP": {"conn_id": "crm", "sql": "select 1", "format": "csv"}},
                "segment 'VIP' has unknown keys: 'format'. Allowed are conn_id, sql, parameters, tag, adbc.",
            ),
            (
                {"VIP": {"conn_id": "crm", "sql": " "}},
                "segment 'VIP': sql must be a query, or the name of a .sql file; given was empty text.",
            ),
            (
                {"VIP": {"conn_id": "crm", "sql": "vip.sql"}},
                "segment 'VIP': sql names the file 'vip.sql', which was not read",
            ),
            (
                {"VIP": {"conn_id": "crm", "sql": "select 1", "parameters": "ada"}},
                "segment 'VIP': parameters must be a mapping of names to values, or a list of values",
            ),
        ],
    )
    def test_wrong_segments(self, segments: Any, says: str) -> None:
        """What is wrong is told by the segment's name, with the remedy."""
        assert says in refusal(segments)

    def test_passwords_in_uris(self) -> None:
        """A password in a URI is refused, and not shown."""
        said = refusal({"VIP": "ftp://ann:secret@host/x.csv"})
        assert "Keep it in an Airflow connection" in said
        assert "secret" not in said

    @pytest.mark.parametrize(
        "uri", ["s3://conn@lake/x.csv", "abfs://c@a.dfs.core.windows.net/x", "s3://l/a:b@c"]
    )
    def test_other_at_signs(self, uri: str) -> None:
        """An @ that parts no password is let be."""
        assert parse_segments({"VIP": uri})[0].source == FileSpec(uri)


class TestFileOptions:
    """How the files of a segment are written."""

    def test_all_of_them(self) -> None:
        """Each option is taken, also as the text of a template."""
        given = {
            "uri": "x.csv",
            "delimiter": "tab",
            "encoding": "windows-1252",
            "quote": "",
            "escape": "\\",
            "header": "false",
            "columns": "email, first",
            "null_values": '["-", ""]',
            "skip_rows": "2",
            "skip_footer": 3,
            "decimal": ",",
            "date_format": '{"born": "%d.%m.%Y"}',
            "timezone": "Europe/Berlin",
            "compression": "ZST",
            "sniff": True,
        }
        (segment,) = parse_segments({"S": given})
        assert segment.source == FileSpec(
            "x.csv",
            options=FileOptions(
                delimiter="\t",
                encoding="cp1252",
                quote="",
                escape="\\",
                header=False,
                columns=("email", "first"),
                null_values=("-", ""),
                skip_rows=2,
                skip_footer=3,
                decimal=",",
                date_format=(("born", "%d.%m.%Y"),),
                timezone="Europe/Berlin",
                compression=Compression.ZSTD,
                sniff=True,
            ),
        )

    @pytest.mark.parametrize(
        ("option", "value", "says"),
        [
            ("delimiter", "||", "delimiter must be one ASCII character"),
            ("delimiter", "", "delimiter must be one ASCII character"),
            ("delimiter", "\n", "delimiter must be one ASCII character"),
            ("encoding", "klingon", "encoding must be an encoding such as 'utf-8'"),
            ("encoding", "base64", "encoding must be an encoding such as 'utf-8'"),
            ("quote", "''", "quote must be one ASCII character"),
            ("header", "perhaps", "header must be true or false"),
            ("header", False, "'columns' has to name the columns"),
            ("columns", ["email"], "set 'header' to false as well"),
            ("null_values", [1], "null_values must be a list of words"),
            ("skip_rows", -1, "skip_rows must be a whole number from 0 upwards"),
            ("decimal", ";", "decimal must be '.' or ','"),
            ("date_format", "%Y", "date_format must be a format with %d and %m"),
            ("date_format", {"born": 1}, "date_format must be a format with %d and %m"),
            ("timezone", "Berlin", "timezone must be a time zone such as 'Europe/Berlin'"),
            ("compression", "rar", "compression must be 'none' or 'gz'"),
            ("escape", ",", "must differ from each other"),
            ("delimeter", ";", "unknown keys: 'delimeter' (did you mean 'delimiter'?)"),
        ],
    )
    def test_refusals(self, option: str, value: object, says: str) -> None:
        """What means nothing is refused with the segment, the option and what it must be."""
        said = refusal({"S": {"uri": "x.csv", option: value}})
        assert said.startswith("segment 'S'")
        assert says in said

    def test_columns_that_are_named_twice(self) -> None:
        """A column has one name, and a name one column."""
        given = {"uri": "x.csv", "header": False, "columns": ["email", "email"]}
        assert "columns names one column twice" in refusal({"S": given})

    def test_how_a_run_is_told_from_another(self) -> None:
        """Without options a source is spelled as before there were any, and with them it is another."""
        plain, special = parse_segments({"S": "x.csv", "T": {"uri": "x.csv", "delimiter": ";"}})
        assert repr(plain.source) == "FileSpec(uri='x.csv', format=None, conn_id=None)"
        assert "delimiter=';'" in repr(special.source)


INSIGHTS = {"conn_id": "ci", "segment": "High_value"}


def test_a_segment_of_customer_insights() -> None:
    """A connection and the name of a table are enough; what else there is has its defaults."""
    (segment,) = parse_segments({"VIP": INSIGHTS})
    assert segment == Segment("VIP", "VIP", InsightsSpec("ci", "High_value"))
    (segment,) = parse_segments(
        {
            "VIP": {
                **INSIGHTS,
                "tag": "Best",
                "max_missing_profiles": "5",
                "profile_read": "scan",
                "may_be_empty": "yes",
            }
        }
    )
    assert segment.tag == "Best"
    assert segment.source == InsightsSpec("ci", "High_value", 5.0, ProfileRead.SCAN, may_be_empty=True)


def test_a_segment_that_customer_insights_exports() -> None:
    """With a URI it lies in files, whose connection is that of a storage."""
    (segment,) = parse_segments(
        {"VIP": {"uri": "abfs://container/BlobExport", "segment": "VIP", "max_age": "26h"}}
    )
    assert segment.source == InsightsFilesSpec("abfs://container/BlobExport", "VIP", max_age=26.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"segment": "VIP"}, "has no 'conn_id'"),
        ({"conn_id": "ci", "segment": ""}, "has no 'segment'"),
        ({**INSIGHTS, "segment": "High value"}, "output table name"),
        ({**INSIGHTS, "segment": "x' or 1 eq 1"}, "output table name"),
        ({**INSIGHTS, "max_missing_profiles": 1.5}, "whole number of members"),
        ({**INSIGHTS, "max_missing_profiles": -1}, "a number from 0"),
        ({**INSIGHTS, "profile_read": "fast"}, "'auto' or 'scan' or 'by_id'"),
        ({**INSIGHTS, "max_age": "26h"}, "unknown keys: 'max_age'"),
        ({"uri": "x", "segment": "VIP", "max_age": 26}, "an age with its unit"),
        ({"uri": "x", "segment": "VIP", "max_age": "0h"}, "an age with its unit"),
        ({"uri": "x", "segment": "VIP", "format": "csv"}, "unknown keys: 'format'"),
    ],
)
def test_mistakes_in_a_segment_of_customer_insights(given: dict[str, Any], words: str) -> None:
    """Each is named with its segment."""
    with pytest.raises(ConfigError, match=words) as caught:
        parse_segments({"VIP": given})
    assert "segment 'VIP'" in str(caught.value)
