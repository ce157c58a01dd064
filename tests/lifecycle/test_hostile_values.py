"""One value that cannot be sent is left out with a warning, and stops nobody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.database import COLUMNS, SEGMENT, Database
from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.model import Verdict
from tests.kit.exports import LIST
from tests.kit.life import Life

DAY = 24 * 60 * 60
FAR, EARLY, NEW_YEAR = 6_700_000, -800_000, 20_454


def export(life: Life, kind: str, values: pa.Array) -> Report:
    """Export people who differ in one field."""
    life.sandbox.call("POST", f"{LIST}/merge-fields", {"tag": "X", "name": "X", "type": kind})
    life.field_map = {"EMAIL": "email", "X": "value"}
    emails = [f"p{number}@mail.eu" for number in range(len(values))]
    return life.run({"Readers": pa.table({"email": emails, "value": values})})


def sent(life: Life) -> list[Any]:
    """The field of everybody in the audience."""
    members = life.sandbox.members()
    return [members[f"p{number}@mail.eu"]["merge_fields"].get("X", "") for number in range(len(members))]


def told(report: Report) -> list[tuple[str, str, int]]:
    """What the report warns of."""
    return [(warning.field, str(warning.kind), warning.count) for warning in report.warnings]


@pytest.mark.parametrize(
    ("arrow", "scale"),
    [
        (pa.date32(), 1),
        (pa.date64(), DAY * 1000),
        (pa.timestamp("s"), DAY),
        (pa.timestamp("s", "UTC"), DAY),
        (pa.timestamp("ms", "America/New_York"), DAY * 1000),
        (pa.timestamp("us"), DAY * 1_000_000),
        (pa.timestamp("us", "Asia/Tokyo"), DAY * 1_000_000),
    ],
    ids=str,
)
def test_days_of_no_calendar(life: Life, arrow: pa.DataType, scale: int) -> None:
    """A day in the year 20313 or before year 1 is left out with a warning, and the others are sent."""
    half = scale // 2 if scale > 1 and not pa.types.is_date64(arrow) else 0
    days = pa.array([FAR * scale, EARLY * scale, NEW_YEAR * scale + half, None], arrow)
    report = export(life, "date", days)
    assert report.verdict is Verdict.SUCCESS
    assert sent(life) == ["", "", "2026-01-01", ""]
    assert told(report) == [("X", "not_a_date", 2)]


@pytest.mark.parametrize("arrow", [pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.date64()], ids=str)
def test_moments_past_every_count(life: Life, arrow: pa.DataType) -> None:
    """A moment that no count of microseconds reaches is left out with a warning."""
    report = export(life, "date", pa.array([2**62, -(2**62), None], arrow))
    assert told(report) == [("X", "not_a_date", 2)]
    assert sent(life) == ["", "", ""]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.5, 0.1], pa.float16()),
        pa.array([Decimal("1.50"), Decimal("0.10")], pa.decimal256(20, 2)),
        pa.array([Decimal("1.50"), Decimal("0.10")], pa.decimal256(60, 2)),
    ],
    ids=lambda values: str(values.type),
)
def test_numbers_of_other_widths(life: Life, values: pa.Array) -> None:
    """Numbers of widths that DuckDB lacks are sent as the numbers that they are."""
    report = export(life, "number", values)
    assert sent(life) == [1.5, 0.1]
    assert told(report) == []


def test_damaged_text(life: Life) -> None:
    """Text that is no UTF-8 is left out with a warning, and the person is sent."""
    offsets, data = pa.py_buffer(b"\0\0\0\0\6\0\0\0\x09\0\0\0"), pa.py_buffer(b"secre\xffAda")
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
    report = export(life, "text", broken)
    assert sent(life) == ["", "Ada"]
    assert told(report) == [("X", "not_text", 1)]


def test_far_days_as_text(life: Life) -> None:
    """A text field leaves such a day out as well."""
    report = export(life, "text", pa.array([FAR, NEW_YEAR + 1], pa.date32()))
    assert sent(life) == ["", "2026-01-02"]
    assert told(report) == [("X", "not_text", 1)]


def test_what_duckdb_cannot_read(tmp_path: Path) -> None:
    """What DuckDB cannot read at all is told by segment and columns, and not quoted."""
    metadata = {SEGMENT: "Readers", COLUMNS: "'value' (duration)"}
    block = pa.record_batch({"id": pa.array([1.5], pa.float16())}, metadata=metadata)
    told = "Segment 'Readers': DuckDB cannot read a value of its columns 'value' (duration)"
    with (
        Database(tmp_path, "planning/plan.sql") as database,
        pytest.raises(SourceError, match=re.escape(told)) as caught,
        database.incoming(block),
    ):
        database.run("record_subscribed_since")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "value", "warning"),
    [
        ("birthday", "unknown", "not_a_birthday"),
        ("number", "old", "not_a_number"),
        ("date", "soon", "not_a_date"),
    ],
)
def test_few_wrong_values(life: Life, kind: str, value: str, warning: str) -> None:
    """A column of fewer than 50 values of which none fits is a warning."""
    report = export(life, kind, pa.array([value] * 49 + [None] * 60))
    assert report.verdict is Verdict.SUCCESS
    assert (report.counts.created, told(report)) == (109, [("X", warning, 49)])


@pytest.mark.parametrize(("kind", "value"), [("number", "Ada"), ("date", "Ada"), ("zip", "Paris")])
def test_a_wrong_column(life: Life, kind: str, value: str) -> None:
    """A column of 50 values of another kind stops the run before anything is sent."""
    place = r"\(segment 'Readers', column 'value', such as in row 1\)"
    with pytest.raises(ConfigError, match=f"no value of the column for X fits the type {kind} {place}"):
        export(life, kind, pa.array([value] * 50))
    assert life.carriers() == []


@pytest.mark.parametrize(
    ("kind", "value", "warning"), [("zip", "SW1A 1AA", "not_a_zip"), ("date", "20313-01-01", "not_a_date")]
)
def test_values_of_the_right_kind(life: Life, kind: str, value: str, warning: str) -> None:
    """However many postcodes of another country there are, and whatever the year, nobody is stopped."""
    assert told(export(life, kind, pa.array([value] * 60))) == [("X", warning, 60)]


@pytest.mark.parametrize("count", [1, 200])
def test_addresses_without_states(life: Life, count: int) -> None:
    """Addresses that lack a part are left out with a warning, however many there are."""
    life.sandbox.call("POST", f"{LIST}/merge-fields", {"tag": "HOME", "name": "Home", "type": "address"})
    parts = {"addr1": "street", "city": "city", "state": "state", "zip": "zip"}
    life.field_map = {"EMAIL": "email", "HOME": parts}
    columns: dict[str, Sequence[str | None]] = {
        "email": [f"p{number}@mail.eu" for number in range(count)],
        "street": ["Way 2"] * count,
        "city": ["Muscat"] * count,
        "state": pa.nulls(count, pa.string()),
        "zip": ["113"] * count,
    }
    report = life.run({"Readers": pa.table(columns)})
    assert (report.counts.created, told(report)) == (count, [("HOME", "not_an_address", count)])
