"""Segments in the files that Customer Insights exports: the newest snapshot, whole, or an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source, plain_path

NAMES = ("CustomerId", "FullName", "Email", "City")
ANN = ("ce759201", 'Ann "A" Lee', "ann@example.org", "S\u00e3o\nPaulo")
BOB = ("ce759202", "Bob", "bob@example.org", "")
STORE = "https://acct.blob.core.windows.net/Dynamics365CustomerInsights/CustomerInsights_1/BlobExport"


def line(values: Any, delimiter: str = ",") -> str:
    """A row as it is exported."""
    return delimiter.join('"' + value.replace('"', '""') + '"' for value in values) + "\r\n"


class Export:
    """The folder of an export."""

    def __init__(self, root: Path) -> None:
        self.root = root / "BlobExport"
        self.partitions: list[dict[str, Any]] = []

    def part(
        self, path: str, *rows: Any, format: dict[str, Any] | None = None, text: str | None = None
    ) -> Export:
        """Add a file and its place in the model; ``text`` is what is in it, and ``None`` for no file."""
        file = self.root / "VIP" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((text if text is not None else "".join(map(line, rows))).encode())
        self.partitions.append(
            {
                "name": file.stem,
                "refreshTime": "2026-11-21T02:05:58.1234567+00:00",
                "location": f"{STORE}/VIP/{path}?snapshot=1",
                **({"fileFormatSettings": format} if format is not None else {}),
            }
        )
        return self

    def write(self, **model: Any) -> Export:
        """Write the model."""
        attributes = [{"name": name, "dataType": "string"} for name in NAMES]
        entity = {
            "$type": "LocalEntity",
            "name": "VIP",
            "attributes": attributes,
            "partitions": self.partitions,
        }
        self.root.mkdir(exist_ok=True)
        given = {"name": "BlobExport", "version": "1.0", "entities": [entity], **model}
        (self.root / "model.json").write_text(json.dumps(given), encoding="utf-8-sig")
        return self


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """An export without files yet."""
    return Export(tmp_path)


def read(
    export: Export, *, columns: tuple[str, ...] = ("Email", "FullName", "City"), **options: Any
) -> list[Any]:
    """Read the segment."""
    (segment,) = parse_segments({"Best": {"uri": str(export.root), "segment": "VIP", **options}})
    source = open_source(segment, columns, path_factory=plain_path)
    return [
        row
        for batch in source.batches()
        for row in zip(*(each.to_pylist() for each in batch.columns), strict=True)
    ]


def refusal(export: Export, **options: Any) -> str:
    """Say how it is refused."""
    with pytest.raises(SourceError) as caught:
        read(export, **options)
    return str(caught.value)


ANN_READ = ("ann@example.org", 'Ann "A" Lee', "S\u00e3o\nPaulo")
BOB_READ = ("bob@example.org", "Bob", None)
HEADED, BARE = {"columnHeaders": True}, {"columnHeaders": False}


@pytest.mark.parametrize("format", [None, {}, HEADED, BARE])
def test_a_header_is_known_by_what_it_says(export: Export, format: dict[str, Any] | None) -> None:
    """Where the model says nothing, and where it says so, the line of names is no person."""
    with_line = [NAMES] if format in (None, {}, HEADED) else []
    export.part("2026/11/21/0205/VIP_1.csv", *with_line, ANN, format=format)
    export.part("2026/11/21/0205/VIP_2.csv", *with_line, BOB, format=format).write()
    assert read(export) == [ANN_READ, BOB_READ]


def test_no_header_where_nothing_is_said(export: Export) -> None:
    """The model's own default is no header."""
    assert read(export.part("2026/11/21/0205/VIP_1.csv", ANN, BOB).write()) == [ANN_READ, BOB_READ]


def test_what_the_model_says_is_checked(export: Export) -> None:
    """Names are not exported as people, and nobody is taken for a header; the segment may say how it is."""
    export.part("2026/11/21/0205/VIP_1.csv", NAMES, ANN, format=BARE).write()
    assert "though model.json says that it does not" in refusal(export)
    assert read(export, header=True) == [ANN_READ]
    other = Export(export.root.parent / "other").part("2026/11/21/0205/VIP_1.csv", ANN, BOB, format=HEADED)
    other.root.mkdir(exist_ok=True)
    other.write()
    assert "does not begin with the names" in refusal(other)
    assert read(other, header=False) == [ANN_READ, BOB_READ]


def test_delimiter_and_quotes_are_the_models(export: Export) -> None:
    """Another delimiter, no quotes, and a mark in front are read as they are."""
    format = {"delimiter": ";", "quoteStyle": "QuoteStyle.None", "encoding": "UTF-8"}
    export.part("2026/11/21/0205/VIP_1.csv", format=format, text="\ufeff1;Bob, B;bob@example.org;\n").write()
    assert read(export) == [("bob@example.org", "Bob, B", None)]


def test_the_newest_run_counts(export: Export) -> None:
    """Also where the model lists earlier runs, and where a later run is not finished yet."""
    export.part("2026/11/20/0205/VIP_1.csv", ANN).part("2026/11/21/0205/VIP_1.csv", BOB).write()
    later = export.root / "VIP" / "2026/11/22/0205"
    later.mkdir(parents=True)
    (later / "VIP_1.csv").write_text(line(ANN))
    assert read(export) == [BOB_READ]


def test_a_file_that_is_not_there(export: Export) -> None:
    """A snapshot that lacks a part is none."""
    export.part("2026/11/21/0205/VIP_1.csv", ANN).part("2026/11/21/0205/VIP_2.csv", BOB).write()
    (export.root / "VIP/2026/11/21/0205/VIP_2.csv").unlink()
    assert "names the file 'VIP/2026/11/21/0205/VIP_2.csv', which is not there" in refusal(export)


def test_a_file_that_is_not_named(export: Export) -> None:
    """A part that the model does not know yet may hold half of the people."""
    export.part("2026/11/21/0205/VIP_1.csv", ANN).write()
    (export.root / "VIP/2026/11/21/0205/VIP_2.csv").write_text(line(BOB))
    assert "lies 'VIP_2.csv'" in refusal(export)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (line(ANN) + line(BOB[:3]), "has 3 values where 'columns' names 4"),
        (line(ANN)[:-9], "never closed"),
        (line(ANN, ";"), "stands neither a delimiter nor a line end"),
    ],
)
def test_damaged_files(export: Export, text: str, words: str) -> None:
    """Rows of another width and values without an end are told, and nobody is read past them."""
    export.part("2026/11/21/0205/VIP_1.csv", text=text).write()
    assert words in refusal(export)


def test_models_that_tell_nothing(export: Export) -> None:
    """Each is told with what is there."""
    assert "model.json': does not exist" in refusal(export)
    export.part("2026/11/21/0205/VIP_1.csv", ANN).write()
    assert "did you mean 'VIP'?" in refusal(export, segment="vip")
    assert "no file of table 'VIP'" in refusal(Export(export.root.parent).write())
    (export.root / "model.json").write_text('{"entities": [')
    assert "half written" in refusal(export)
    export.partitions[0]["location"] = f"{STORE}/../../secrets.csv"
    export.write()
    assert "not documented (ValueError)" in refusal(export)


def test_a_mistyped_column(export: Export) -> None:
    """The names are those of Customer Insights' attributes."""
    export.part("2026/11/21/0205/VIP_1.csv", ANN).write()
    assert "did you mean 'Email'?" in refusal(export, columns=("email",))


def test_age(export: Export) -> None:
    """A snapshot that is too old stops the export."""
    export.part("2026/11/21/0205/VIP_1.csv", ANN).write()
    assert "more than max_age allows (26)" in refusal(export, max_age="26h")
    export.partitions[0]["refreshTime"] = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    export.write()
    assert read(export, max_age="26h") == [ANN_READ]
    del export.partitions[0]["refreshTime"]
    export.write()
    assert "more than max_age allows" in refusal(export, max_age="26h")


def test_a_run_that_comes_while_it_is_read(export: Export) -> None:
    """What was read is then no snapshot."""
    export.part("2026/11/21/0205/VIP_1.csv", ANN).write()
    (segment,) = parse_segments({"Best": {"uri": f"{export.root}/model.json", "segment": "VIP"}})
    source = open_source(segment, ("Email",), path_factory=plain_path)
    batches = source.batches()
    next(batches)
    export.part("2026/11/22/0205/VIP_1.csv", BOB).write()
    with pytest.raises(SourceError, match="exported the table anew"):
        list(batches)
