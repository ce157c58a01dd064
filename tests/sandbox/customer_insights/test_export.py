"""The file export."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mailchimp_export.sandbox.customer_insights.blob_export import STORE
from tests.sandbox.customer_insights.driver import PROFILES, Insights


def export(insights: Insights, **settings: Any) -> Path:
    """The folder of an export that is written under these settings."""
    insights.set(**settings)
    return Path(insights.control("export", {})["path"])


def model_of(folder: Path, encoding: str = "utf-8") -> dict[str, Any]:
    """Its ``model.json``."""
    model: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding))
    return model


def entity(folder: Path, name: str = "VIP", encoding: str = "utf-8") -> dict[str, Any]:
    """One table of the model."""
    return next(one for one in model_of(folder, encoding)["entities"] if one["name"] == name)


def paths(exports: Path, found: dict[str, Any]) -> list[Path]:
    """The files of a table, where its locations lead."""
    return [exports / one["location"].removeprefix(f"{STORE}/") for one in found["partitions"]]


def rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    """The values of one file."""
    return list(csv.reader(io.StringIO(path.read_text("utf-8"), newline=""), delimiter=delimiter))


def test_layout(insights: Insights, exports: Path) -> None:
    """Each table has a folder of the minute, and model.json names its files by their addresses in the store."""
    folder = export(insights, clock_shift=0)
    assert folder.parent.parent == exports
    assert folder.parent.name.startswith("CustomerInsights_")
    assert folder.name == "BlobExport"
    found = entity(folder)
    (path,) = paths(exports, found)
    year, month, day, minute = path.parent.relative_to(folder / "VIP").parts
    assert [len(part) for part in (year, month, day, minute)] == [4, 2, 2, 4]
    assert path.name == "VIP_1.csv"
    assert found["partitions"][0]["refreshTime"] == model_of(folder)["modifiedTime"]
    assert [one["name"] for one in model_of(folder)["entities"]] == ["VIP", "Newsletter", "Recent_buyers"]


def test_files_hold_the_members_with_all_their_columns(insights: Insights, exports: Path) -> None:
    """A table holds who is in the segment, under the names of Customer Insights, as the Web API has them too."""
    found = entity(export(insights))
    names = [one["name"] for one in found["attributes"]]
    assert names[:4] == ["CustomerId", "shop_customers_CustomerId", "Number", "Email"]
    members = [row for path in paths(exports, found) for row in rows(path)]
    assert sorted(row[0] for row in members) == insights.members("VIP")
    assert {len(row) for row in members} == {len(names)}
    emails = {row["msdynci_customerid"]: row["msdynci_email"] for row in insights.rows(PROFILES)}
    assert all(row[3] == emails[row[0]] for row in members)
    kinds = {one["name"]: one["dataType"] for one in found["attributes"]}
    assert (kinds["LastPurchase"], kinds["NewsletterOptIn"], kinds["LifetimeValue"]) == (
        "dateTime",
        "boolean",
        "double",
    )


def test_large_tables_are_split(insights: Insights, exports: Path) -> None:
    """A table of many rows has several files in one folder."""
    found = entity(export(insights, export_part_rows=20))
    parts = paths(exports, found)
    assert [path.name for path in parts[:2]] == ["VIP_1.csv", "VIP_2.csv"]
    assert len({path.parent for path in parts}) == 1
    sizes = [len(rows(path)) for path in parts]
    assert set(sizes[:-1]) == {20}
    assert sum(sizes) == len(insights.members("VIP"))


@pytest.mark.parametrize(
    ("header", "line", "told"),
    [
        ("unmentioned", False, None),
        ("declared", True, True),
        ("declared-absent", False, False),
        ("undeclared", True, False),
    ],
)
def test_header(insights: Insights, exports: Path, header: str, line: bool, told: bool | None) -> None:
    """The line of names is there or not, and the model says so, or says nothing, or the contrary."""
    found = entity(export(insights, export_header=header))
    (path,) = paths(exports, found)
    assert (rows(path)[0][0] == "CustomerId") is line
    assert found["partitions"][0]["fileFormatSettings"].get("columnHeaders") is told


@pytest.mark.parametrize(("quote_all", "begin"), [(True, '"'), (False, "")])
def test_quotes_and_line_breaks(insights: Insights, exports: Path, quote_all: bool, begin: str) -> None:
    """Quotes are doubled, line breaks stay, and values are quoted all or where that is needed."""
    customer_id, hard = insights.members("VIP")[0], 'Ann "A"; Lee,\nSão'
    insights.control("profiles", {"rows": [{"customer_id": customer_id, "first_name": hard}]})
    found = entity(export(insights, export_delimiter=";", export_quote_all=quote_all))
    (path,) = paths(exports, found)
    assert found["partitions"][0]["fileFormatSettings"]["delimiter"] == ";"
    read = {row[0]: row for row in rows(path, ";")}
    assert read[customer_id][4] == hard
    assert path.read_text("utf-8")[:1] == (begin or next(iter(read))[0])


def test_byte_order_mark(insights: Insights, exports: Path) -> None:
    """Files and model may begin with a byte order mark."""
    folder = export(insights, export_bom=True)
    assert (folder / "model.json").read_bytes().startswith(b"\xef\xbb\xbf{")
    (path,) = paths(exports, entity(folder, encoding="utf-8-sig"))
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")


def test_refresh_exports_again(insights: Insights, exports: Path) -> None:
    """Each refresh writes new folders, however soon, which the model then names; the earlier ones stay."""
    old = paths(exports, entity(export(insights)))
    insights.control("refresh", {"leave": 1})
    folder = export(insights)
    assert paths(exports, entity(folder)) != old
    assert [rows(path) for path in paths(exports, entity(folder))] == [[]]
    assert all(path.exists() for path in old)


def test_missing_part(insights: Insights, exports: Path) -> None:
    """The model names a file that is not there."""
    found = entity(export(insights, export_part_rows=20, export_defect="missing-part"))
    there = [path.exists() for path in paths(exports, found)]
    assert (all(there[:-1]), there[-1]) == (True, False)


def test_no_partitions(insights: Insights) -> None:
    """The model names a table without any file."""
    assert entity(export(insights, export_defect="no-partitions"))["partitions"] == []


def test_unfinished_export(insights: Insights, exports: Path) -> None:
    """A newer folder holds some files that the model does not name yet."""
    folder = export(insights, export_part_rows=20)
    before = model_of(folder)
    export(insights, export_defect="unfinished")
    assert model_of(folder) == before
    newest = max((folder / "VIP").glob("*/*/*/*"))
    named = paths(exports, entity(folder))
    assert newest not in {path.parent for path in named}
    assert 0 < len(list(newest.iterdir())) < len(named)


def test_no_model(insights: Insights) -> None:
    """The model is not there."""
    folder = export(insights, export_defect="no-model")
    assert not (folder / "model.json").exists()
    assert list(folder.glob("VIP/*/*/*/*/*.csv"))


def test_ragged_row(insights: Insights, exports: Path) -> None:
    """A row has one value fewer than the others."""
    (path,) = paths(exports, entity(export(insights, export_defect="ragged-row")))
    assert len({len(row) for row in rows(path)}) == 2


def test_part_that_is_cut(insights: Insights, exports: Path) -> None:
    """A file ends in its middle."""
    (path,) = paths(exports, entity(export(insights)))
    whole = len(path.read_bytes())
    (path,) = paths(exports, entity(export(insights, export_defect="cut-part")))
    assert len(path.read_bytes()) < whole * 0.6


def test_stale_export(insights: Insights) -> None:
    """With the clock set ahead, the next export is of a later day."""
    before = model_of(export(insights))["modifiedTime"]
    assert model_of(export(insights, clock_shift=86_400 * 3))["modifiedTime"] > before
