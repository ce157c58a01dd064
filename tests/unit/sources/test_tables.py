"""Segments in memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from airflow_mailchimp_export.errors import SourceError
from airflow_mailchimp_export.settings.segments import Segment, TableSpec
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import BATCH_ROWS, Source


def opened(table: Any, *columns: str) -> Source:
    """Open the table as the segment VIP."""
    return open_source(Segment("VIP", "VIP", TableSpec(table)), columns or ("a",))


def values(table: Any) -> list[Any]:
    """Read the column a."""
    return [value for batch in opened(table).batches() for value in batch.column("a").to_pylist()]


def refusal(table: Any, *columns: str) -> str:
    """Say why the table cannot be read; neither the message nor its causes show a value."""
    with pytest.raises(SourceError) as caught:
        opened(table, *columns)
    assert caught.value.__cause__ is None or "example" not in str(caught.value.__cause__)
    return str(caught.value)


class TestArrow:
    """pyarrow.Table and its like."""

    def test_wanted_columns(self) -> None:
        """Only the wanted columns are there, each once and in the order in which they are wanted."""
        source = opened(pa.table({"a": [1], "b": [2], "c": [3]}), "c", "a", "c")
        assert source.schema == pa.schema([("c", pa.int64()), ("a", pa.int64())])
        assert [batch.to_pydict() for batch in source.batches()] == [{"c": [3], "a": [1]}]

    def test_chunks_and_dictionaries(self) -> None:
        """Chunks are read one after the other, and dictionaries are decoded."""
        chunks = pa.chunked_array([["x"], ["y", None]]).dictionary_encode()
        assert opened(pa.table({"a": chunks})).schema.field("a").type == pa.string()
        assert values(pa.table({"a": chunks})) == ["x", "y", None]

    def test_large_texts_in_dictionaries(self) -> None:
        """Dictionaries of large texts are decoded as well."""
        assert values(pa.table({"a": pa.array(["x"], pa.large_string()).dictionary_encode()})) == ["x"]

    def test_views(self) -> None:
        """Text may be views, as polars has it, by itself or within structs and lists."""
        views = pa.array(["x", None, "y" * 50], pa.string_view())
        assert values(pa.table({"a": views})) == ["x", None, "y" * 50]
        people = pa.StructArray.from_arrays([views], names=["city"])
        assert values(pa.table({"a": people})) == [{"city": "x"}, {"city": None}, {"city": "y" * 50}]
        lists = pa.ListArray.from_arrays([0, 2, 3], views)
        assert values(pa.table({"a": lists})) == [["x", None], ["y" * 50]]

    def test_long_tables(self) -> None:
        """Long tables come in batches; they can be read again, and rows are numbered from 1."""
        source = opened(pa.table({"a": range(BATCH_ROWS + 10)}))
        assert [batch.num_rows for batch in source.batches()] == [BATCH_ROWS, 10]
        source.close()
        assert sum(batch.num_rows for batch in source.batches()) == BATCH_ROWS + 10
        assert source.locate(123) == "row 124"

    def test_record_batches(self) -> None:
        """A single batch is a table too."""
        assert values(pa.record_batch({"a": [1, None]})) == [1, None]

    def test_readers(self) -> None:
        """A reader is refused, as it can be read only once."""
        reader = pa.table({"a": [1]}).to_reader()
        assert "can be read only once: pass reader.read_all() instead" in refusal(reader)

    def test_what_is_no_table(self) -> None:
        """A single column is no table."""
        assert refusal(pd.Series(["ann@example.com"])) == "segment 'VIP': is no table, but of type Series."

    def test_columns_that_are_wrong(self) -> None:
        """Missing and duplicate columns are told as of files."""
        assert refusal(pa.table({"A": [1]})) == (
            "segment 'VIP': there is no column 'a' (did you mean 'A'?); there are 'A'. "
            "Correct its name where the export maps it, or put the column into the source: a retry reads it again"
        )
        twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
        assert refusal(twice) == "segment 'VIP': several columns are named 'a': rename all but one."


class TestPandas:
    """pandas.DataFrame."""

    @pytest.mark.parametrize(
        ("series", "read"),
        [
            (pd.Series(["x", None]), ["x", None]),
            (pd.Series(["x", float("nan")], dtype=object), ["x", None]),
            (pd.Series([1.5, float("nan")]), [1.5, None]),
            (pd.Series([1, None], dtype="Int64"), [1, None]),
            (pd.Series(["x", None, "x"], dtype="category"), ["x", None, "x"]),
            (pd.Series(["x", None], dtype=pd.ArrowDtype(pa.large_string())), ["x", None]),
            (pd.Series([pd.NaT, pd.NaT]), [None, None]),
            (pd.Series([None, None], dtype=object), [None, None]),
        ],
    )
    def test_values(self, series: pd.Series, read: list[Any]) -> None:
        """Whatever pandas has for nothing is null, and texts are texts."""
        assert values(pd.DataFrame({"a": series})) == read

    def test_zones(self) -> None:
        """Times keep their zone."""
        frame = pd.DataFrame({"a": pd.to_datetime(["2026-01-01"]).tz_localize("Europe/Berlin")})
        assert opened(frame).schema.field("a").type.tz == "Europe/Berlin"

    def test_the_index_is_left_out(self) -> None:
        """The index is no column, whatever its name."""
        frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 9], name="b"))
        assert opened(frame).schema.names == ["a"]
        assert "there is no column 'b'" in refusal(frame, "b")

    def test_labels_that_are_no_texts(self) -> None:
        """A column whose label is a number is wanted by its digits."""
        (batch,) = opened(pd.DataFrame([[1, 2]]), "1").batches()
        assert batch.to_pydict() == {"1": [2]}

    @pytest.mark.parametrize("mixed", [["ann@example.com", 7], [7, "ann@example.com"], [object()]])
    def test_mixed_columns(self, mixed: list[object]) -> None:
        """A column of several types is refused by its name, without its values."""
        said = refusal(pd.DataFrame({"a": pd.Series(mixed, dtype=object), "b": 1}))
        assert said.startswith("segment 'VIP': column 'a' holds values of several types")
        assert "example" not in said

    def test_mixed_columns_that_nobody_wants(self) -> None:
        """A column of several types does no harm where it is not wanted."""
        assert values(pd.DataFrame({"a": [1], "b": pd.Series([object()])})) == [1]

    def test_columns_that_are_wrong(self) -> None:
        """Missing and duplicate columns are told as of files."""
        assert "there is no column 'a'" in refusal(pd.DataFrame({"b": [1]}))
        assert "several columns are named 'a'" in refusal(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_pandas_is_not_loaded_in_vain() -> None:
    """Whoever has no data frames need not wait for pandas."""
    code = "import sys, airflow_mailchimp_export.sources.opening; print('pandas' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
