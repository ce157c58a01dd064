"""Segments in tables of Delta and Iceberg."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.table import Table

from airflow_mailchimp_export.errors import ConfigError, ExportError, SourceError
from airflow_mailchimp_export.settings.segments import parse_segments
from airflow_mailchimp_export.sources.opening import open_source
from airflow_mailchimp_export.sources.source import Source

PEOPLE = pa.table({"email": ["p0@mail.eu", "p1@mail.eu"], "contact": [{"city": "Ulm"}, {"city": "Bonn"}]})


def opened(given: Any, *columns: str) -> Source:
    """Open it as the segment S."""
    (segment,) = parse_segments({"S": given})
    return open_source(segment, columns or ("email",))


def people(source: Source) -> list[dict[str, Any]]:
    """Read a source."""
    return [row for batch in source.batches() for row in batch.to_pylist()]


def refusal(given: Any) -> tuple[str, type[ExportError]]:
    """Say why it cannot be opened."""
    with pytest.raises(ExportError) as caught:
        opened(given)
    return str(caught.value), type(caught.value)


@pytest.fixture
def delta(tmp_path: Path) -> str:
    """A table of two people, one of whom was deleted."""
    uri = str(tmp_path / "delta")
    write_deltalake(uri, PEOPLE)
    DeltaTable(uri).delete("email = 'p1@mail.eu'")
    return uri


@pytest.fixture
def iceberg(tmp_path: Path) -> Table:
    """A table of two people, one of whom was deleted."""
    catalog = InMemoryCatalog("catalog", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("lake")
    table = catalog.create_table("lake.people", schema=PEOPLE.schema)
    table.append(PEOPLE)
    table.delete("email = 'p1@mail.eu'")
    return table


class TestDelta:
    """What lives in the version that is current when the run begins."""

    def test_by_its_folder(self, delta: str) -> None:
        """Who was deleted is not there, and columns may be within columns."""
        source = opened({"uri": delta, "format": "delta"}, "email", "contact.city")
        assert people(source) == [{"email": "p0@mail.eu", "contact.city": "Ulm"}]
        assert source.locate(0) == "row 1"

    def test_by_itself(self, delta: str) -> None:
        """A DeltaTable is taken as a data frame is."""
        assert people(opened(DeltaTable(delta))) == [{"email": "p0@mail.eu"}]
        assert len(people(opened(DeltaTable(delta, version=0)))) == 2

    def test_a_version_is_pinned(self, delta: str) -> None:
        """Who comes while a run reads is in the next one, whose identity is another."""
        source = opened({"uri": delta, "format": "delta"})
        before = source.identity()
        write_deltalake(delta, PEOPLE, mode="append")
        assert (len(people(source)), source.identity()) == (1, before)
        later = opened({"uri": delta, "format": "delta"})
        assert later.identity() != before
        assert len(people(later)) == 3

    def test_deletions_in_files_of_their_own(self, tmp_path: Path) -> None:
        """A table whose features pyarrow lacks is read by Delta's own engine."""
        uri = str(tmp_path / "marked")
        write_deltalake(uri, PEOPLE, configuration={"delta.enableDeletionVectors": "true"})
        assert [row["email"] for row in people(opened(DeltaTable(uri)))] == ["p0@mail.eu", "p1@mail.eu"]

    @pytest.mark.parametrize("uri", ["", "/*.parquet", "/**"])
    def test_as_plain_files(self, delta: str, uri: str) -> None:
        """Its files are never read by themselves: they hold who was deleted."""
        said, kind = refusal(f"{delta}{uri}")
        assert "is a table of the format Delta" in said
        assert "set 'format' to delta" in said
        assert kind is ConfigError

    def test_a_folder_above_it(self, delta: str) -> None:
        """Nor are they read as a part of something larger."""
        assert "is a table of the format Delta" in refusal(str(Path(delta).parent))[0]

    def test_a_partition_of_it(self, tmp_path: Path) -> None:
        """Nor is one of its partitions, or a file there."""
        uri = str(tmp_path / "parted")
        write_deltalake(uri, pa.table({"email": ["a@mail.eu"], "day": ["1"]}), partition_by=["day"])
        (file,) = (tmp_path / "parted" / "day=1").iterdir()
        assert "is a table of the format Delta" in refusal(f"{uri}/day=1")[0]
        assert "is a table of the format Delta" in refusal(str(file))[0]

    def test_no_table(self, tmp_path: Path) -> None:
        """A folder that is none is an error."""
        said, kind = refusal({"uri": str(tmp_path), "format": "delta"})
        assert ("is no Delta table" in said, kind) == (True, SourceError)


class TestIceberg:
    """What lives in the snapshot that is current when the run begins."""

    def test_by_its_folder(self, iceberg: Table) -> None:
        """Who was deleted is not there, and columns may be within columns."""
        folder = iceberg.location().removeprefix("file://")
        source = opened({"uri": folder, "format": "iceberg"}, "email", "contact.city")
        assert people(source) == [{"email": "p0@mail.eu", "contact.city": "Ulm"}]

    def test_by_its_metadata(self, iceberg: Table) -> None:
        """The file of its metadata names one state of it."""
        given = {"uri": iceberg.metadata_location, "format": "iceberg"}
        assert people(opened(given)) == [{"email": "p0@mail.eu"}]

    def test_by_itself(self, iceberg: Table) -> None:
        """A table of a catalog and a scan of it are taken as a data frame is."""
        assert people(opened(iceberg)) == [{"email": "p0@mail.eu"}]
        assert people(opened(iceberg.scan(row_filter="email = 'nobody'"))) == []

    def test_a_snapshot_is_pinned(self, iceberg: Table) -> None:
        """Who comes while a run reads is in the next one, whose identity is another."""
        source = opened(iceberg)
        before = source.identity()
        iceberg.append(PEOPLE)
        assert (len(people(source)), source.identity()) == (1, before)
        assert len(people(opened(iceberg))) == 3

    def test_as_plain_files(self, iceberg: Table) -> None:
        """Its files are never read by themselves, nor the folder of its data."""
        folder = iceberg.location().removeprefix("file://")
        for uri in (folder, f"{folder}/data", f"{folder}/data/*.parquet"):
            said, kind = refusal(uri)
            assert ("is a table of the format Iceberg" in said, kind) == (True, ConfigError)

    def test_two_newest_states(self, iceberg: Table) -> None:
        """Where only the catalog knows which state counts, that is said."""
        newest = Path(iceberg.metadata_location.removeprefix("file://"))
        number = newest.name.split("-")[0]
        shutil.copy(newest, newest.with_name(f"{number}-00000000-0000-0000-0000-000000000000.metadata.json"))
        said, kind = refusal({"uri": iceberg.location().removeprefix("file://"), "format": "iceberg"})
        assert ("only its catalog knows which counts" in said, kind) == (True, ConfigError)

    def test_no_table(self, tmp_path: Path) -> None:
        """A folder that is none is an error."""
        assert "is no Iceberg table" in refusal({"uri": str(tmp_path), "format": "iceberg"})[0]


def test_hudi(tmp_path: Path) -> None:
    """A table of Hudi is refused with the remedy."""
    (tmp_path / ".hoodie").mkdir()
    pq.write_table(PEOPLE, tmp_path / "x.parquet")
    said, kind = refusal(str(tmp_path))
    assert ("Hudi is not read: write what lives in it as Parquet" in said, kind) == (True, ConfigError)


@pytest.mark.parametrize(
    ("kind", "module", "extra"), [("delta", "deltalake", "delta"), ("iceberg", "pyiceberg.table", "iceberg")]
)
def test_without_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, module: str, extra: str
) -> None:
    """Where the package is missing that reads it, the extra that brings it is named."""
    monkeypatch.setitem(sys.modules, module, None)
    said, error = refusal({"uri": str(tmp_path), "format": kind})
    assert (f"airflow-mailchimp-export[{extra}]" in said, error) == (True, ConfigError)


def test_a_connection(tmp_path: Path) -> None:
    """A connection cannot be handed on to what reads tables, so that it is refused."""
    assert "conn_id is not for delta" in refusal({"uri": "s3://x/y", "format": "delta", "conn_id": "lake"})[0]


def test_a_missing_column(delta: str) -> None:
    """A column that is not there is told with those that are."""
    with pytest.raises(
        SourceError, match=r"no column 'mail' \(did you mean 'email'\?\); there are 'email', 'contact'"
    ):
        opened({"uri": delta, "format": "delta"}, "mail")
