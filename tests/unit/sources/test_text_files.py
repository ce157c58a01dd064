"""Files of text that are packed, encoded or written in a way of their own."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.location import SourceLocation, reading
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source

PEOPLE = "email,first\nann@x.eu,Änn\nbob@x.eu,Bob\n"
READ = [{"email": "ann@x.eu", "first": "Änn"}, {"email": "bob@x.eu", "first": "Bob"}]


def opened(file: Path, *columns: str, **options: Any) -> Source:
    """Open a file as the segment S."""
    (segment,) = parse_segments({"S": {"uri": str(file), **options}})
    return open_source(segment, columns or ("email", "first"))


def rows(file: Path, *columns: str, **options: Any) -> list[dict[str, Any]]:
    """Read a file."""
    return [row for batch in opened(file, *columns, **options).batches() for row in batch.to_pylist()]


def refusal(file: Path, *columns: str, **options: Any) -> str:
    """Say why a file cannot be read; no value is shown."""
    with pytest.raises(ExportError) as caught:
        rows(file, *columns, **options)
    assert "x.eu" not in str(caught.value)
    return str(caught.value).partition(f"file {file.name!r}: ")[2]


def zipped(*names: str) -> bytes:
    """A zip archive in which each of the files has the people."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, PEOPLE)
    return data.getvalue()


def zstd(data: bytes) -> bytes:
    """Pack by zstd."""
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


PACKED = {
    "gz": gzip.compress(PEOPLE.encode()),
    "bz2": bz2.compress(PEOPLE.encode()),
    "zst": zstd(PEOPLE.encode()),
    "zip": zipped("people.csv", "__MACOSX/people.csv"),
}


@pytest.mark.parametrize("kind", PACKED)
def test_packed(tmp_path: Path, kind: str) -> None:
    """What is packed is read by its extension, or as the option says."""
    for name, options in ((f"people.csv.{kind}", {}), ("part-0", {"format": "csv", "compression": kind})):
        (tmp_path / name).write_bytes(PACKED[kind])
        assert rows(tmp_path / name, **options) == READ


@pytest.mark.parametrize("kind", PACKED)
def test_packed_without_saying_so(tmp_path: Path, kind: str) -> None:
    """What is packed and named .csv is told by how it is packed."""
    (tmp_path / "x.csv").write_bytes(PACKED[kind])
    assert f"set 'compression' to {kind}" in refusal(tmp_path / "x.csv")


def test_several_files_in_one(tmp_path: Path) -> None:
    """An archive of two files is refused: one of them would be passed over."""
    (tmp_path / "x.csv.zip").write_bytes(zipped("a.csv", "b.csv"))
    assert refusal(tmp_path / "x.csv.zip") == "holds 2 files: a zip archive must hold one."


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "windows-1252", "latin-1", "utf-32", "iso8859-15"]
)
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """Text is read in the encoding that is said."""
    (tmp_path / "x.csv").write_bytes(PEOPLE.encode(encoding))
    assert rows(tmp_path / "x.csv", encoding=encoding) == READ


def test_a_wrong_encoding(tmp_path: Path) -> None:
    """Text that is not in its encoding is refused, and the message proposes one."""
    (tmp_path / "x.csv").write_bytes(PEOPLE.encode("windows-1252"))
    said = refusal(tmp_path / "x.csv")
    assert said.startswith("line 2 is not UTF-8")
    assert said.endswith("Probably encoding: 'windows-1252' would read it.")
    (tmp_path / "x.csv").write_bytes(b"email,first\n\xff,\n")
    assert "is not in the encoding ascii" in refusal(tmp_path / "x.csv", encoding="ascii")


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"PAR1....", "a Parquet file; set 'format' to parquet"),
        (b"PARE....", "an encrypted Parquet file"),
        (b"PK\x03\x04..xl/workbook.xml", "an Excel workbook (.xlsx); save it as CSV"),
        (b"\xd0\xcf\x11\xe0....", "an old Excel workbook (.xls)"),
        ("email\n".encode("utf-16"), "in UTF-16; set 'encoding' to utf-16"),
        ("email\n".encode("utf-16-le"), "in UTF-16 or binary"),
        ("email\n".encode("utf-32"), "in UTF-32"),
        (b'{"email": "a@x.eu"}\n', "JSON lines, or other JSON; set 'format' to jsonl"),
        (b'[{"email": "a@x.eu"}]', "a JSON array"),
        (b"<!DOCTYPE html>", "HTML or XML"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_other_kinds(tmp_path: Path, head: bytes, says: str) -> None:
    """What is no CSV is told by what it is."""
    (tmp_path / "x.csv").write_bytes(head)
    assert f"it is {says}" in refusal(tmp_path / "x.csv")


class TestSniffing:
    """What a file is like is proposed, and used only where that is asked for."""

    @pytest.mark.parametrize(
        ("text", "proposed"),
        [
            ("email;first\na@x.eu;A\n", "Probably delimiter: ';' would read it."),
            ("sep=;\nemail;first\na@x.eu;A\n", "Probably delimiter: ';', skip_rows: 1 would read it."),
            ("\nemail,first\na@x.eu,A\n", "Probably skip_rows: 1 would read it."),
            ("email,first\na@x.eu,A,B\n", ""),
        ],
    )
    def test_a_proposal(self, tmp_path: Path, text: str, proposed: str) -> None:
        """A refusal says which options would read the file."""
        (tmp_path / "x.csv").write_text(text)
        assert refusal(tmp_path / "x.csv").partition("Probably")[1:] == proposed.partition("Probably")[1:]

    def test_on_demand(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """With sniff the file is read so, and the log says how."""
        (tmp_path / "x.csv").write_bytes("sep=;\nemail;first\nann@x.eu;Änn\nbob@x.eu;Bob\n".encode("cp1252"))
        with caplog.at_level(logging.WARNING):
            assert rows(tmp_path / "x.csv", sniff=True) == READ
        assert "delimiter: ';', encoding: 'windows-1252', skip_rows: 1" in caplog.text

    def test_nothing_to_find(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Of a plain file there is nothing to say."""
        (tmp_path / "x.csv").write_text(PEOPLE)
        assert rows(tmp_path / "x.csv", sniff=True) == READ
        assert caplog.text == ""


class TestRows:
    """Rows are counted as a spreadsheet does, and what is none is nothing."""

    def test_blank_rows(self, tmp_path: Path) -> None:
        """Rows without any value are no profiles, but are counted."""
        (tmp_path / "x.csv").write_text("email,first\n\n\na@x.eu,A\n,\n\nb@x.eu,\n,C\n,\n\n")
        source = opened(tmp_path / "x.csv")
        assert sum(batch.num_rows for batch in source.batches()) == 3
        assert [source.locate(row) for row in range(3)] == ["x.csv:4", "x.csv:7", "x.csv:8"]

    def test_rows_whose_wanted_values_are_blank(self, tmp_path: Path) -> None:
        """A row is blank only where all of its columns are, also those that nobody wants."""
        (tmp_path / "x.csv").write_text("email,first\na@x.eu,A\n,B\n,\n")
        assert rows(tmp_path / "x.csv", "email") == [{"email": "a@x.eu"}, {"email": None}]

    def test_a_footer(self, tmp_path: Path) -> None:
        """Rows behind the profiles are left out as far as is said."""
        (tmp_path / "x.csv").write_text(PEOPLE + "\n\n15 people\nall rights reserved\n")
        assert rows(tmp_path / "x.csv", skip_footer=2) == READ
        assert "row 6 (the header is row 1) has 1 values" in refusal(tmp_path / "x.csv", skip_footer=1)

    def test_a_footer_amidst(self, tmp_path: Path) -> None:
        """A row that is too short and has profiles behind it is no footer."""
        (tmp_path / "x.csv").write_text("email,first\na@x.eu,A\nshort\nb@x.eu,B\n")
        assert "row 3 (the header is row 1) has 1 values" in refusal(tmp_path / "x.csv", skip_footer=1)

    def test_no_header(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Columns may be named by the segment; a part without rows is told."""
        names = {"header": False, "columns": ["email", "first"], "format": "csv"}
        lake = tmp_path / "lake"
        lake.mkdir()
        (lake / "0001_part_00").write_text("ann@x.eu,Änn\n", encoding="utf-8")
        (lake / "0002_part_00").touch()
        assert rows(lake, **names) == READ[:1]
        assert "file '0002_part_00': is empty (0 bytes): no profile was read from it." in caplog.text
        (lake / "0002_part_00").write_text("b@x.eu\n")
        assert "row 1 has 1 values where 'columns' names 2 columns." in refusal(
            lake / "0002_part_00", **names
        )


class TestJsonLines:
    """An object a line."""

    def test_values(self, tmp_path: Path) -> None:
        """Values are text as JSON spells them, and names may come late."""
        lines = ['{"email":"a@x.eu","id":7210448301122,"n":7.0,"ok":true,"tags":["a"]}'] * 1500
        (tmp_path / "x.jsonl").write_text("\n".join([*lines, '{"email":"b@x.eu","late":{"zip":"01"}}']))
        read = rows(tmp_path / "x.jsonl", "id", "n", "ok", "tags", "late.zip")
        assert list(read[0].values()) == ["7210448301122", "7", "true", '["a"]', None]
        assert list(read[-1].values()) == [None, None, None, None, "01"]

    def test_a_name_that_is_nowhere(self, tmp_path: Path) -> None:
        """A column that no line has is an error."""
        (tmp_path / "x.jsonl").write_text('{"email":"a@x.eu"}\n')
        assert refusal(tmp_path / "x.jsonl", "mail").startswith("there is no column 'mail'")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ('{"email":"a@x.eu"}\n{"email"\n', "line 2 is no JSON: each line must be one object."),
            ('{"email":"a@x.eu"}\n\n[1]\n', "line 3 is no JSON object: each line must be one."),
            ("", "is empty (0 bytes)."),
            ("email\n", "line 1 is no JSON: each line must be one object."),
        ],
    )
    def test_refusals(self, tmp_path: Path, text: str, says: str) -> None:
        """What is no JSON is told by its line."""
        (tmp_path / "x.jsonl").write_text(text)
        assert refusal(tmp_path / "x.jsonl", "email") == says


class NoCredentialsError(Exception):
    """What botocore raises."""


class AirflowNotFoundException(Exception):
    """What Airflow raises."""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module", name="s3fs"), "the package 's3fs' is not installed"),
        (ImportError("Install gcsfs"), "the package of its storage or format is not installed"),
        (NoCredentialsError("secret"), "set the segment's conn_id"),
        (AirflowNotFoundException("secret"), "there is no connection of the name that conn_id gives"),
    ],
)
def test_what_a_retry_does_not_mend(error: Exception, says: str) -> None:
    """A missing package, connection or credentials are a matter of the set-up."""
    with pytest.raises(ConfigError, match=says) as caught, reading(SourceLocation("S", "s3://x")):
        raise error
    assert "secret" not in str(caught.value)


def test_what_a_retry_may_mend() -> None:
    """Whatever else a storage raises is tried again."""
    with pytest.raises(SourceError), reading(SourceLocation("S", "s3://x")):
        raise OSError("unreachable")
