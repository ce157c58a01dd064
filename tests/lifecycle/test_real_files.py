"""What engines and spreadsheets write changes neither who is exported nor what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Report
from airflow_mailchimp_export.errors import ConfigError, SourceError
from airflow_mailchimp_export.planning.fingerprint import Fingerprinting
from tests.kit.exports import LIST
from tests.kit.life import Life, changing

ADA, BOB = "ada@mail.eu", "bob@mail.eu"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder for a segment."""
    folder = tmp_path / "lake"
    folder.mkdir()
    return folder


def with_field(life: Life, kind: str, column: str = "value", **options: Any) -> None:
    """Give the audience a field X that a column fills."""
    life.sandbox.call("POST", f"{LIST}/merge-fields", {"tag": "X", "name": "X", "type": kind, **options})
    life.field_map = {"EMAIL": "email", "X": column}


def sent(life: Life) -> dict[str, Any]:
    """The field X of everybody in the audience."""
    return {email: member["merge_fields"].get("X", "") for email, member in life.sandbox.members().items()}


def told(report: Report) -> list[tuple[str, str, int]]:
    """What the report warns of."""
    return [(warning.field, str(warning.kind), warning.count) for warning in report.warnings]


def csv(lake: Path, text: str, **options: Any) -> dict[str, Any]:
    """Write a CSV file, as a segment with options."""
    (lake / "people.csv").write_text(text, encoding="utf-8")
    return {"S": {"uri": str(lake / "people.csv"), **options}}


class TestTypesThatDrift:
    """A value is the same whatever the type of its column, or of that column elsewhere."""

    @pytest.mark.parametrize(
        ("kind", "number", "text", "expected"),
        [
            ("zip", pa.array([501]), "10115", {ADA: "00501", BOB: "10115"}),
            ("zip", pa.array([501.0]), "10115", {ADA: "00501", BOB: "10115"}),
            ("phone", pa.array([4915112345678.0]), "+49 151", {ADA: "4915112345678", BOB: "+49 151"}),
            ("number", pa.array([19.99], pa.float32()), "7", {ADA: 19.99, BOB: 7}),
            ("text", pa.array([True]), "yes", {ADA: "true", BOB: "yes"}),
            ("text", pa.array([datetime(2026, 1, 2, 3, 4)]), "x", {ADA: "2026-01-02 03:04:00", BOB: "x"}),
            ("date", pa.array([date(2026, 1, 2)]), "2026-01-03", {ADA: "2026-01-02", BOB: "2026-01-03"}),
        ],
        ids=["zip", "float zip", "phone", "float", "boolean", "moment", "day"],
    )
    @pytest.mark.parametrize("apart", ["files", "segments"])
    def test_beside_text(
        self, life: Life, lake: Path, kind: str, number: pa.Array, text: str, expected: Any, apart: str
    ) -> None:
        """A number, a day or a truth beside text is sent as it would be by itself."""
        with_field(life, kind, **({"options": {"phone_format": "none"}} if kind == "phone" else {}))
        first, second = lake / "1.parquet", lake / "2.parquet"
        pq.write_table(pa.table({"email": [ADA], "value": number}), first)
        pq.write_table(pa.table({"email": [BOB], "value": [text]}), second)
        life.run({"S": str(lake)} if apart == "files" else {"S": str(first), "T": str(second)})
        assert sent(life) == expected

    def test_ids_of_the_type_uuid(self, life: Life, lake: Path) -> None:
        """A UUID is the same id as text and as a type of its own, also in bytes."""
        known = UUID(int=5)
        uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([known.bytes], pa.binary(16)))
        life.options = {"profile_id": "id"}
        life.run({"S": pa.table({"email": ["ada@old.eu"], "id": uuids})})
        life.run({"S": pa.table({"email": ["ada@new.eu"], "id": [str(known)]})})
        assert set(life.audience()) == {"ada@new.eu"}
        life.run({"S": pa.table({"email": [ADA], "id": [str(known).encode()]})})
        assert set(life.audience()) == {ADA}

    def test_ids_that_cannot_be_read(self, life: Life) -> None:
        """Two people whose ids are no text are two people."""
        ids = pa.array([b"\xff", b"\xfe"])
        life.run({"S": pa.table({"email": [ADA, BOB], "id": ids})}, profile_id="id")
        assert {row["profile_id"] for row in life.ledger().values()} == {None}

    @pytest.mark.parametrize(
        ("days", "kind"),
        [
            ([pa.int64(), pa.float64(), pa.float32(), pa.int16()], "number"),
            ([pa.float64(), pa.int64()], "text"),
        ],
    )
    def test_nobody_is_sent_again(self, life: Life, days: list[pa.DataType], kind: str) -> None:
        """A column of integers that becomes one of equal floats changes nothing, nor back."""
        with_field(life, kind)
        for number, arrow in enumerate(days):
            values = pa.array([7, None], arrow)
            with life.watched() as seen:
                report = life.run({"S": pa.table({"email": [ADA, BOB], "value": values})})
            assert report.counts.unchanged == (2 if number else 0)
            assert bool(changing(seen)) == (number == 0)

    def test_nobody_is_sent_again_by_an_upgrade(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fingerprints of floats that a release before made still count, and become those of integers."""
        with_field(life, "number")

        def people(arrow: pa.DataType) -> dict[str, pa.Table]:
            return {"S": pa.table({"email": [ADA, BOB], "value": pa.array([7, None], arrow)})}

        with monkeypatch.context() as before:
            before.setattr(Fingerprinting, "values", lambda self, mapped: self.earlier_values)
            life.run(people(pa.float64()))
        known = {email: row["fingerprint"] for email, row in life.ledger().items()}
        reports = [life.run(people(arrow)) for arrow in (pa.float64(), pa.int64())]
        assert [report.counts.unchanged for report in reports] == [2, 2]
        assert life.ledger()[ADA]["fingerprint"] != known[ADA]
        assert life.ledger()[BOB]["fingerprint"] == known[BOB]


class TestDays:
    """A day is that day, whoever wrote it."""

    @pytest.mark.parametrize(
        ("values", "days"),
        [
            (["13/02/2026", "01/02/2026"], ["2026-02-13", "2026-02-01"]),
            (["02/13/2026", "01/02/2026"], ["2026-02-13", "2026-01-02"]),
            (["13-02-2026 10:00", "01-02-2026"], ["2026-02-13", "2026-02-01"]),
            (["02-13-2026", "01-02-2026"], ["2026-02-13", "2026-01-02"]),
            (["05/05/2026", "2026-01-02"], ["2026-05-05", "2026-01-02"]),
        ],
    )
    def test_a_column_tells_its_order(self, life: Life, values: list[str], days: list[str]) -> None:
        """Where a day exists in one order alone, all of the column are read in that."""
        with_field(life, "date")
        report = life.run({"S": pa.table({"email": [ADA, BOB], "value": values})})
        assert list(sent(life).values()) == days
        assert told(report) == []

    def test_birthdays_tell_their_order(self, life: Life) -> None:
        """Birthdays without a year are read in the order of their column as well."""
        with_field(life, "birthday")
        life.run({"S": pa.table({"email": [ADA, BOB], "value": ["13/02", "01/02"]})})
        assert list(sent(life).values()) == ["02/13", "02/01"]

    @pytest.mark.parametrize("kind", ["date", "birthday"])
    @pytest.mark.parametrize("values", [["01/02/2026", "03/04/2026"], ["13/02/2026", "02/13/2026"]])
    def test_an_ambiguous_column(self, life: Life, lake: Path, kind: str, values: list[str]) -> None:
        """Where no day tells the order, or the days contradict each other, nothing is sent."""
        with_field(life, kind)
        segments = csv(lake, f"email,value\n{ADA},{values[0]}\n{BOB},{values[1]}\n")
        with pytest.raises(
            ConfigError,
            match=r"'S': column 'value' .* such as in people\.csv:2\. Nothing was sent\. Set date_format",
        ):
            life.run(segments)
        assert life.carriers() == []

    @pytest.mark.parametrize(
        ("given", "day"),
        [("%d/%m/%Y", "2026-02-01"), ("%m/%d/%Y", "2026-01-02"), ({"value": "%d/%m/%Y"}, "2026-02-01")],
    )
    def test_a_format_that_is_said(self, life: Life, lake: Path, given: Any, day: str) -> None:
        """With date_format nothing is ambiguous, and what is otherwise is a warning."""
        with_field(life, "date")
        report = life.run(csv(lake, f"email,value\n{ADA},01/02/2026\n{BOB},soon\n", date_format=given))
        assert sent(life) == {ADA: day, BOB: ""}
        assert told(report) == [("X", "not_a_date", 1)]

    def test_two_segments_of_two_orders(self, life: Life) -> None:
        """Each segment has the order of its own."""
        with_field(life, "date")
        first = pa.table({"email": [ADA, "x@mail.eu"], "value": ["01/02/2026", "13/02/2026"]})
        second = pa.table({"email": [BOB, "y@mail.eu"], "value": ["01/02/2026", "02/13/2026"]})
        life.run({"S": first, "T": second})
        assert (sent(life)[ADA], sent(life)[BOB]) == ("2026-02-01", "2026-01-02")

    def test_who_was_sent_swapped_is_sent_again(self, life: Life) -> None:
        """Once a column tells its order, whose day was another before is sent again, and nobody else."""
        with_field(life, "date")
        life.run({"S": pa.table({"email": [ADA, BOB], "value": ["01/02/2026", "02/13/2026"]})})
        report = life.run({"S": pa.table({"email": [ADA, BOB], "value": ["01/02/2026", "13/02/2026"]})})
        assert report.counts.updated == 2
        assert sent(life) == {ADA: "2026-02-01", BOB: "2026-02-13"}

    def test_a_zone_that_is_said(self, life: Life, lake: Path) -> None:
        """With timezone the days are those of that zone, of moments as of text."""
        with_field(life, "date")
        moments = pa.array([datetime(2026, 1, 1, 23, 30)], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"email": [ADA], "value": moments}), lake / "x.parquet")
        text = csv(lake, f"email,value\n{BOB},2026-01-01T23:30:00Z\n", timezone="Europe/Berlin")
        life.run({"P": {"uri": str(lake / "x.parquet"), "timezone": "Europe/Berlin"}, **text})
        assert sent(life) == {ADA: "2026-01-02", BOB: "2026-01-02"}

    def test_a_zone_that_is_said_later(self, life: Life, lake: Path) -> None:
        """Whose day is another once the zone is said is sent again."""
        with_field(life, "date")
        moments = pa.array([datetime(2026, 1, 1, 23, 30)], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"email": [ADA], "value": moments}), lake / "x.parquet")
        life.run({"S": str(lake)})
        assert sent(life) == {ADA: "2026-01-01"}
        life.run({"S": {"uri": str(lake), "timezone": "Europe/Berlin"}})
        assert sent(life) == {ADA: "2026-01-02"}

    @pytest.mark.parametrize("value", [date(1899, 12, 30), date(1900, 1, 1), date(9999, 12, 31)])
    def test_birthdays_of_nobody(self, life: Life, value: date) -> None:
        """A day that stands for none is a warning."""
        with_field(life, "birthday")
        report = life.run({"S": pa.table({"email": [ADA], "value": [value]})})
        assert (sent(life), told(report)) == ({ADA: ""}, [("X", "not_a_birthday", 1)])


class TestWordsForNothing:
    """What a writer puts in the place of nothing is nothing."""

    @pytest.mark.parametrize("word", ["\\N", "NULL", "None", "nan", "<NA>", "#N/A", "#REF!", "(null)"])
    def test_in_a_field(self, life: Life, lake: Path, word: str) -> None:
        """It is a blank, and warned of once."""
        segments = csv(lake, f"email,first\n{ADA},{word}\n{BOB},Null\n")
        life.field_map = {"EMAIL": "email", "FNAME": "first"}
        report = life.run(segments)
        members = life.sandbox.members()
        assert [members[email]["merge_fields"].get("FNAME", "") for email in (ADA, BOB)] == ["", "Null"]
        assert told(report) == [("FNAME", "null_word", 1)]
        assert told(life.run(segments)) == []

    def test_a_blank_all_the_same(self, life: Life, lake: Path) -> None:
        """The field's default takes its place."""
        life.field_map = {"EMAIL": "email", "FNAME": {"column": "first", "default": "friend"}}
        life.run(csv(lake, f"email,first\n{ADA},NULL\n"))
        assert life.sandbox.members()[ADA]["merge_fields"]["FNAME"] == "friend"

    def test_in_ids_and_addresses(self, life: Life, lake: Path) -> None:
        """Nobody is told by it, and nobody has it as an address."""
        report = life.run(csv(lake, f"email,id\n{ADA},NULL\n{BOB},NULL\nNULL,7\n"), profile_id="id")
        assert {row["profile_id"] for row in life.ledger().values() if row["email"]} == {None}
        assert (report.counts.created, report.counts.rejected) == (2, 1)

    def test_other_words(self, life: Life, lake: Path) -> None:
        """The segment says which words they are."""
        life.field_map = {"EMAIL": "email", "FNAME": "first"}
        life.run(csv(lake, f"email,first\n{ADA},-\n{BOB},NULL\n", null_values=["-"]))
        names = [member["merge_fields"].get("FNAME", "") for member in life.sandbox.members().values()]
        assert names == ["", "NULL"]

    def test_gaps_of_a_data_frame(self, life: Life) -> None:
        """NaN is a blank."""
        with_field(life, "number")
        frame = pd.DataFrame({"email": [ADA, BOB], "value": [1.5, float("nan")]})
        report = life.run({"S": frame})
        assert (sent(life), told(report)) == ({ADA: 1.5, BOB: ""}, [])


class TestNumbers:
    """Numbers are spelled as the segment says."""

    @pytest.mark.parametrize(
        ("value", "number"), [("1.234,5", 1234.5), ("0,5", 0.5), ("7", 7), ("-1,25", -1.25)]
    )
    def test_decimal_commas(self, life: Life, lake: Path, value: str, number: float) -> None:
        """With decimal "," a comma parts the fraction."""
        with_field(life, "number")
        life.run(csv(lake, f"email;value\n{ADA};{value}\n", delimiter=";", decimal=","))
        assert sent(life) == {ADA: number}

    def test_text_keeps_its_commas(self, life: Life, lake: Path) -> None:
        """A text field is left as it is."""
        with_field(life, "text")
        life.run(csv(lake, f"email;value\n{ADA};12,5\n", delimiter=";", decimal=","))
        assert sent(life) == {ADA: "12,5"}


class TestWhoIsExported:
    """Never fewer people, and never others."""

    def test_a_table_is_no_folder(self, life: Life, lake: Path) -> None:
        """Who was deleted from a table is not exported again by its files."""
        (lake / "_delta_log").mkdir()
        pq.write_table(pa.table({"email": [ADA]}), lake / "x.parquet")
        with pytest.raises(ConfigError, match="is a table of the format Delta"):
            life.run({"S": str(lake)})
        assert life.carriers() == []

    def test_a_part_of_another_kind(self, life: Life, lake: Path) -> None:
        """A part that arrives in another way is an error, not people who left."""
        (lake / "1.csv").write_text(f"email\n{ADA}\n")
        life.run({"S": str(lake)})
        (lake / "2.lz4").write_bytes(b"x")
        with pytest.raises(SourceError, match=r"'2\.lz4'"):
            life.run({"S": str(lake)})
        assert life.tags(ADA) == {"S"}

    def test_stray_quotes(self, life: Life, lake: Path) -> None:
        """Two values that begin with a quote swallow nobody: the file is refused, with the lines."""
        quotes = ["", "", '"', "", "", "", "", "", '"', ""]
        rows = "".join(f"p{number}@mail.eu,{quote}N{number},L\n" for number, quote in enumerate(quotes))
        segments = csv(lake, f"email,first,last\n{rows}")
        life.field_map = {"EMAIL": "email", "FNAME": "first"}
        with pytest.raises(
            SourceError, match="line 10: behind the closing quote of the value that begins on line 4"
        ):
            life.run(segments)
        assert life.carriers() == []

    @pytest.mark.parametrize("hidden", list("\u200e\u2060\u00ad\u200c\u200d\ufe0f\u034f\u3164\u180e\u2800"))
    def test_invisible_characters(self, life: Life, lake: Path, hidden: str) -> None:
        """Nobody who opted out is subscribed by a character that nobody sees."""
        life.put(ADA, status="unsubscribed")
        report = life.run(csv(lake, f"email\n{hidden}{ADA}\nada{hidden}@mail.eu\n"))
        assert life.audience() == {ADA: ("unsubscribed", set())}
        assert report.counts.suppressed == 1


def test_nothing_of_a_file_without_a_header_is_shown(life: Life, lake: Path) -> None:
    """Values where names should be are not quoted, and options read them."""
    segments: Mapping[str, Any] = csv(lake, f"{ADA},Ada\n{BOB},Bob\n")
    with pytest.raises(SourceError, match="has no header row") as caught:
        life.run(segments)
    assert ADA not in str(caught.value)
    life.run(csv(lake, f"{ADA},Ada\n{BOB},Bob\n", header=False, columns=["email", "first"]))
    assert set(life.audience()) == {ADA, BOB}
