"""Where profiles are, and what rules need of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.config.loading import Loaded, load
from airflow_mailchimp_export.config.models import Configuration
from airflow_mailchimp_export.config.profiles import Files
from airflow_mailchimp_export.settings.file_options import FILE_OPTIONS
from airflow_mailchimp_export.settings.segments import FileSpec, parse_segments

CUSTOMERS = "WITH profiles AS (\nSELECT * FROM crm.customers\n) SELECT * FROM profiles"
DATABASE = "{conn_id: crm, table: crm.customers}"


def read(tmp_path: Path, segment: str, profiles: str = "lake/*.parquet") -> Loaded:
    """Read a file with one segment."""
    file = tmp_path / "exports.yaml"
    file.write_text(
        f"profiles: {profiles}\nsnapshots: s3://lake/snapshots\nsegments:\n  vip: {{name: VIP, {segment}}}\n"
        "exports:\n  one: {email: email, segments: [vip]}\n"
    )
    return load(file)


def told(loaded: Loaded) -> str:
    """Return the one mistake of the segment or the profiles."""
    (mistake,) = [one for one in loaded.mistakes if one.path[0] != "exports"]
    return str(mistake).rpartition("/")[2].removeprefix("exports.yaml:")


def healthy(loaded: Loaded) -> Configuration:
    """Return the configuration of a file without mistakes."""
    assert loaded.mistakes == ()
    assert loaded.configuration
    return loaded.configuration


def test_all_options_of_files_are_keys() -> None:
    """What files can be at the operator they can be here."""
    assert set(FILE_OPTIONS) <= set(Files.model_fields)
    assert all(field.description for field in Files.model_fields.values())


def test_files_with_options(tmp_path: Path) -> None:
    """Numbers, switches and blanks that say something reach the source as they are meant; paths are beside the file."""
    profiles = (
        '{uri: lake/people.txt, format: csv, conn_id: lake, delimiter: "\\t", quote: "", header: false, '
        "columns: [email, spent], skip_rows: 2, null_values: [], date_format: {born: '%d.%m.%Y'}, decimal: ','}"
    )
    configuration = healthy(read(tmp_path, "where: spent > 1", profiles))
    (segment,) = parse_segments({"VIP": configuration.source("vip")})
    assert isinstance(segment.source, FileSpec)
    options = segment.source.options
    assert (segment.source.uri, segment.source.conn_id) == (str(tmp_path / "lake" / "people.txt"), "lake")
    assert (options.delimiter, options.quote, options.header, options.skip_rows) == ("\t", "", False, 2)
    assert (options.null_values, options.decimal, dict(options.date_format)) == (
        (),
        ",",
        {"born": "%d.%m.%Y"},
    )
    assert configuration.query("vip") == "FROM profiles WHERE spent > 1"


@pytest.mark.parametrize(
    ("segment", "profiles", "source", "query"),
    [
        ("where: a > 1", "s3://lake/p/", {"uri": "s3://lake/p/"}, "FROM profiles WHERE a > 1"),
        (
            "sql: SELECT email FROM profiles",
            "s3://lake/p/",
            {"uri": "s3://lake/p/"},
            "SELECT email FROM profiles",
        ),
        (
            "uri: s3://lake/vip.csv, decimal: ','",
            "s3://lake/p/",
            {"uri": "s3://lake/vip.csv", "decimal": ","},
            "",
        ),
        ("where: a > 1", DATABASE, {"conn_id": "crm", "sql": f"{CUSTOMERS} WHERE a > 1"}, ""),
        (
            "where: a > 1, conn_id: copy",
            DATABASE,
            {"conn_id": "copy", "sql": f"{CUSTOMERS} WHERE a > 1"},
            "",
        ),
        ("sql: SELECT 1", DATABASE, {"conn_id": "crm", "sql": "SELECT 1"}, ""),
        ("sql: SELECT 1, conn_id: shop", "s3://lake/p/", {"conn_id": "shop", "sql": "SELECT 1"}, ""),
        ("uri: s3://lake/vip.csv", DATABASE, {"uri": "s3://lake/vip.csv"}, ""),
        (
            "where: a > 1",
            "{conn_id: crm, sql: SELECT * FROM c}",
            {
                "conn_id": "crm",
                "sql": "WITH profiles AS (\nSELECT * FROM c\n) SELECT * FROM profiles WHERE a > 1",
            },
            "",
        ),
    ],
)
def test_where_a_rule_runs(
    segment: str, profiles: str, source: dict[str, Any], query: str, tmp_path: Path
) -> None:
    """A rule over files is DuckDB's, one over a database is the database's, and own files are taken whole."""
    configuration = healthy(read(tmp_path, segment, profiles))
    assert (configuration.source("vip"), configuration.query("vip")) == (source, query)
    assert parse_segments({"VIP": source})


def test_a_query_in_a_file_of_its_own(tmp_path: Path) -> None:
    """It lies beside the configuration; where it does not, that is told with the line."""
    (tmp_path / "vip.sql").write_text("SELECT email\nFROM profiles\n")
    assert healthy(read(tmp_path, "sql: vip.sql")).query("vip") == "SELECT email\nFROM profiles"
    assert told(read(tmp_path, "sql: vpi.sql")) == (
        "4:20: segments.vip.sql: names a file that cannot be read (No such file or directory): correct its path, or "
        "the file"
    )


@pytest.mark.parametrize(
    ("segment", "profiles", "message"),
    [
        (
            "where: a, sql: b",
            "p",
            "4:30: segments.vip.sql: stands beside where, and a segment has one rule: remove one",
        ),
        ("where: a, conn_id: crm", "p", "4:30: segments.vip.conn_id: has no use beside where"),
        ("where: a", '""', "4:20: segments.vip.where: is a condition over profiles, and there are none"),
        ("sql: a b", '""', "4:20: segments.vip.sql: is a query over profiles, and there are none"),
        ("where: a, header: false", "p", "4:30: segments.vip.header: is for files, and there is no uri"),
        (
            "uri: p, header: false",
            "p",
            "4:3: segments.vip: header is false, so 'columns' has to name the columns",
        ),
        (
            "uri: p, header: perhaps",
            "p",
            "4:28: segments.vip.header: must be true or false; given was text of 7",
        ),
        (
            "uri: p, delimeter: x",
            "p",
            "4:28: segments.vip.delimeter: is an unknown key (did you mean 'delimiter'?)",
        ),
        (
            "uri: 's3://u:secret@b/p'",
            "p",
            "4:20: segments.vip.uri: holds a password. Keep it in an Airflow connection",
        ),
        (
            "where: a",
            "{uri: p, formt: csv}",
            "1:20: profiles.formt: is an unknown key (did you mean 'format'?)",
        ),
        ("where: a", "{uri: p, format: xlsx}", "1:20: profiles.format: must be 'parquet' or 'csv'"),
        ("where: a", "{table: t}", "1:1: profiles.conn_id: is missing: add it (the Airflow connection"),
        ("where: a", "{conn_id: c, uri: p, table: t}", "1:32: profiles.table: stands beside uri"),
        ("where: a, warn_ratio: much", "p", "4:30: segments.vip.warn_ratio: must be a number"),
    ],
)
def test_what_cannot_be(segment: str, profiles: str, message: str, tmp_path: Path) -> None:
    """Each mistake is told where it stands, with the remedy, and a segment's own leaves out that one alone."""
    loaded = read(tmp_path, segment, profiles)
    assert told(loaded).startswith(message)
    assert (loaded.configuration is None) == message.startswith("1:")
