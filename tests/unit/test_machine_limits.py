"""What a machine lacks: memory, room on a disk, and the right to write; each is told as what it is."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export import database, machine_limits
from airflow_mailchimp_export.database import BLOCK_BYTES, BLOCK_ROWS, Database
from airflow_mailchimp_export.errors import ConfigError, SourceError, UnreadableFile
from airflow_mailchimp_export.machine_limits import lean_arrow
from airflow_mailchimp_export.sources.blocks import BATCH_BYTES, MAX_TEXT, divided, regrouped, shortened
from airflow_mailchimp_export.sources.location import SourceLocation, reading
from airflow_mailchimp_export.sources.source import BATCH_ROWS
from airflow_mailchimp_export.state import parquet
from airflow_mailchimp_export.state.plan_file import Membership, PlanWriter, read_chunks
from airflow_mailchimp_export.state.run import OUTCOMES, PLAN, RunFolder
from tests.kit.exports import run_folder
from tests.kit.people import member
from tests.kit.plans import planned_rows


def texts(rows: int, length: int) -> pa.RecordBatch:
    """Rows with one text each."""
    return pa.record_batch({"text": pa.array(["x" * length] * rows, pa.string())})


class TestBlocks:
    """Batches are bounded by bytes as well as by rows, and no row is lost or moved."""

    @pytest.mark.parametrize(
        ("rows", "length"), [(10_000, 20_000), (100, 2_000_000), (200_000, 3), (1, 40_000_000)]
    )
    def test_large_batches_are_divided(self, rows: int, length: int) -> None:
        """No part is larger than the bound, unless it is a single row."""
        parts = list(divided(texts(rows, length)))
        assert sum(part.num_rows for part in parts) == rows
        assert all(part.num_rows <= BATCH_ROWS for part in parts)
        assert all(part.nbytes <= BATCH_BYTES for part in parts if part.num_rows > 1)

    def test_what_is_repeated_counts_each_time(self) -> None:
        """A text that stands in a dictionary once takes as much as all its rows, once it is read."""
        repeated = pa.record_batch({"text": texts(10_000, 20_000).column(0).dictionary_encode()})
        parts = list(divided(repeated))
        assert sum(part.num_rows for part in parts) == 10_000
        assert all(part.num_rows * 20_000 <= BATCH_BYTES for part in parts)

    def test_small_batches_are_joined(self) -> None:
        """Many small batches become few, and their rows stay in order."""
        numbers = [
            pa.record_batch({"n": pa.array(range(start, start + 100))}) for start in range(0, 200_000, 100)
        ]
        parts = list(regrouped(numbers))
        assert len(parts) == 4
        assert pa.Table.from_batches(parts)["n"].to_pylist() == list(range(200_000))

    def test_long_batches_among_small_ones(self) -> None:
        """Joining keeps to the bound too."""
        parts = list(regrouped([texts(1_000, length) for length in (3, 20_000, 3, 4_000, 4_000, 4_000)]))
        assert sum(part.num_rows for part in parts) == 6_000
        assert all(part.nbytes <= BATCH_BYTES for part in parts)

    def test_nothing(self) -> None:
        """Of nothing come no batches."""
        assert list(regrouped([])) == []
        assert list(divided(texts(0, 0))) == []

    @pytest.mark.parametrize(
        ("row_bytes", "rows"),
        [(0, BLOCK_ROWS), (100, BLOCK_ROWS), (20_000, BLOCK_BYTES // 20_000), (10**9, 1)],
    )
    def test_rows_that_become_objects(self, tmp_path: Path, row_bytes: int, rows: int) -> None:
        """The longer rows are, the fewer of them become Python objects at a time."""
        with Database(tmp_path, "planning/plan.sql") as opened:
            opened.bound_blocks(row_bytes)
            assert opened._block_rows == rows


class TestLongTexts:
    """What is longer than anything that is sent is cut while it is read."""

    def test_only_long_ones_are_cut(self) -> None:
        """Texts up to the bound stay as they are, in whichever script; a longer one ends with a sign of the cut."""
        kept = ["", None, " x ", "x" * MAX_TEXT, "ж" * MAX_TEXT, "🐒" * MAX_TEXT]
        cut = shortened(pa.array([*kept, "y" * 20_000, "\n" * 20_000 + "z" * 20_000]))
        assert cut.to_pylist() == [*kept, "y" * (MAX_TEXT - 2) + " …", "z" * (MAX_TEXT - 2) + " …"]

    def test_within_structs(self) -> None:
        """The parts of an address are cut as texts are; what is missing stays missing."""
        values = pa.array([{"addr1": "x" * 5_000, "n": 1}, None, {"addr1": None, "n": 2}])
        assert shortened(values).to_pylist() == [
            {"addr1": "x" * (MAX_TEXT - 2) + " …", "n": 1},
            None,
            {"addr1": None, "n": 2},
        ]

    @pytest.mark.parametrize(
        "values", [pa.array([1, 2]), pa.array([], pa.string()), pa.nulls(3, pa.string())]
    )
    def test_other_values(self, values: pa.Array) -> None:
        """What is no text, or none at all, stays as it is."""
        assert shortened(values) is values


MEMORY = "Out of Memory Error: could not allocate block of size 256.0 KiB (18.8 MiB/19.0 MiB used)"
DISK = "Out of Memory Error: failed to offload data block: max_temp_directory_size is used up"


class TestDuckDB:
    """What DuckDB cannot do, and why."""

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (
                duckdb.OutOfMemoryException(MEMORY),
                r"needs more memory than the 19.0 MiB that it may take .* Map fewer columns",
            ),
            (duckdb.OutOfMemoryException(DISK), r"temporary folder .* Free space there"),
            (
                duckdb.IOException("IO Error: No space left on device"),
                r"temporary folder .* Free space there",
            ),
            (duckdb.IOException("IO Error: Read-only file system"), r"temporary folder .* Make it writable"),
            (duckdb.IOException("IO Error: Permission denied"), r"temporary folder .* Make it writable"),
        ],
    )
    def test_each_is_told_as_what_it_is(self, error: Exception, told: str) -> None:
        """Memory, a full disk and a closed folder have remedies of their own."""
        with pytest.raises(ConfigError, match=told), machine_limits.working():
            raise error

    def test_on_the_way_to_arrow(self) -> None:
        """What it lacks while rows are fetched is told in the same way; other errors stay what they are."""

        def broken(words: str) -> Iterator[pa.RecordBatch]:
            yield texts(1, 1)
            raise pa.ArrowInvalid(words)

        def read(words: str) -> list[pa.RecordBatch]:
            reader = pa.RecordBatchReader.from_batches(texts(1, 1).schema, broken(words))
            return list(machine_limits.streamed(reader))

        with pytest.raises(ConfigError, match="needs more memory"):
            read(MEMORY)
        with pytest.raises(pa.ArrowInvalid, match="something else"):
            read("something else")

    def test_in_the_middle_of_a_table(self, tmp_path: Path) -> None:
        """What it lacks while a table goes into a file is no matter of the place where the file is."""
        with Database(tmp_path, "accounting/accounts.sql") as opened:
            opened._statements["rows"] = (
                "SELECT CASE WHEN range > 400000 THEN error('Out of Memory Error') ELSE range END FROM range(500000)"
            )

            def write() -> None:
                with RunFolder(tmp_path).writing(PLAN) as draft, draft.open("wb") as file:
                    for batch in opened.reader("rows", rows=1000):
                        file.write(batch.column(0).to_numpy())

            with pytest.raises(ConfigError, match="needs more memory"):
                write()

    def test_a_file_that_it_writes(self, tmp_path: Path) -> None:
        """A full disk under exports_root is not taken for the temporary folder."""
        with Database(tmp_path, "accounting/accounts.sql") as opened:
            opened._statements["write"] = "COPY (SELECT * FROM range(1000)) TO {path} (FORMAT parquet)"
            with pytest.raises(OSError, match="No space left on device") as error:
                opened.copy("write", Path("/dev/full"))
        assert error.value.errno == errno.ENOSPC

    def test_its_files_are_its_owners(self, tmp_path: Path) -> None:
        """Nobody else may read the database, which holds addresses in clear."""
        with Database(tmp_path, "planning/plan.sql"):
            assert (tmp_path / "plan.duckdb").stat().st_mode & 0o777 == 0o600


WAYS = ("rows", "batches", "reader", "copy")


def found_by(opened: Database, way: str, query: str, folder: Path) -> list[int]:
    """Run a query of one column of numbers in one of the ways to do so."""
    opened._statements["query"] = f"COPY ({query}) TO {{path}} (HEADER false)" if way == "copy" else query
    if way == "copy":
        opened.copy("query", folder / "found.csv")
        return [int(line) for line in (folder / "found.csv").read_text().split()]
    if way == "rows":
        return [row[0] for row in opened.rows("query")]
    batches = opened.batches("query") if way == "batches" else opened.reader("query", rows=1000)
    return [row for batch in batches for row in batch.column(0).to_pylist()]


class TestMemory:
    """Memory is bounded, whatever the machine is like, and too little of it is no damage."""

    @pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (64, 2)])
    def test_cores_do_not_share_the_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
    ) -> None:
        """DuckDB works with so few threads on a large machine too that its memory is enough for each of them."""
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        with closing(database.connect(tmp_path / "work.duckdb")) as connection:
            assert connection.sql("SELECT current_setting('threads')").fetchall() == [(threads,)]

    @pytest.mark.parametrize("way", WAYS)
    def test_what_needs_more_gets_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
    ) -> None:
        """A list cannot be spilled: the statement is run again with more memory, and the log says so."""
        self.begin_with(24, monkeypatch)
        query = "SELECT len(list(repeat('x', 30) || n)) AS found FROM range(2_000_000) AS numbers(n)"
        with Database(tmp_path, "accounting/accounts.sql") as opened, caplog.at_level("INFO"):
            assert found_by(opened, way, query, tmp_path) == [2_000_000]
        assert "cannot do this with 24 MB: it goes on with 48 MB" in caplog.text

    @pytest.mark.parametrize("way", ["rows", "copy"])
    def test_behind_the_first_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
        """Where the second half of an answer needs more memory, the first one is not told twice."""
        self.begin_with(24, monkeypatch)
        query = (
            "SELECT n AS found FROM range(50_000) AS few(n) UNION ALL "
            "SELECT len(list(repeat('x', 30) || n)) FROM range(2_000_000) AS numbers(n)"
        )
        with Database(tmp_path, "accounting/accounts.sql") as opened:
            found = found_by(opened, way, query, tmp_path)
        assert sorted(found) == [*range(50_000), 2_000_000]

    @pytest.mark.parametrize("way", WAYS)
    def test_what_comes_once_is_not_read_twice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        """A stream that has been read is empty: to repeat what reads it would lose its rows."""
        self.begin_with(24, monkeypatch)
        rows = texts(100_000, 30)
        reader = pa.RecordBatchReader.from_batches(rows.schema, (rows for _ in range(20)))
        with (
            Database(tmp_path, "accounting/accounts.sql") as opened,
            opened.incoming(reader),
            pytest.raises(ConfigError, match="needs more memory"),
        ):
            found_by(opened, way, "SELECT len(list(text)) FROM incoming", tmp_path)

    def test_several_statements_are_not_run_twice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first of them is done where the second one fails."""
        self.begin_with(24, monkeypatch)
        with Database(tmp_path, "accounting/accounts.sql") as opened:
            opened._statements["two"] = (
                "CREATE TABLE first AS SELECT 1 AS a;"
                "CREATE TABLE second AS SELECT list(repeat('x', 30) || n) AS a FROM range(2_000_000) AS numbers(n)"
            )
            with pytest.raises(ConfigError, match="needs more memory"):
                opened.script("two")

    @staticmethod
    def begin_with(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a run begin with so many MB."""
        for module in (database, machine_limits):
            monkeypatch.setattr(module, "MEMORY_LIMIT", limit)

    def test_a_full_disk_is_no_lack_of_memory(self, tmp_path: Path) -> None:
        """What cannot be spilled for want of room on the disk is not tried again with more memory."""
        tried = []
        with closing(database.connect(tmp_path / "work.duckdb")) as connection:
            memory = machine_limits.WorkingMemory(connection)

            def execute() -> None:
                tried.append(1)
                raise duckdb.OutOfMemoryException(DISK)

            with pytest.raises(duckdb.OutOfMemoryException):
                memory.enough_for("SELECT 1", execute)
        assert len(tried) == 1

    def test_arrow_gives_memory_back(self) -> None:
        """While an export is at work, Arrow has no allocator that keeps what was given back; then it is as before."""
        before = pa.default_memory_pool().backend_name
        with suppress(ZeroDivisionError), lean_arrow():
            assert pa.default_memory_pool().backend_name == "system"
            raise ZeroDivisionError
        assert pa.default_memory_pool().backend_name == before

    def test_a_plan_is_not_kept_while_it_is_read(self, tmp_path: Path) -> None:
        """However long a plan is, what was read of it is let go before its end."""
        memberships = (Membership(("A",), ("a",)),)
        with PlanWriter(tmp_path / PLAN) as writer:
            for start in range(0, 40_000, 5_000):
                emails = [f"p{number}@mail.eu" for number in range(start, start + 5_000)]
                payload = [f"{random.Random(email).randbytes(200).hex()}" for email in emails]
                none = [0] * len(emails)
                rows, rejects = planned_rows(
                    emails, list(map(member, emails)), payload=payload, membership=none
                )
                writer.write(rows, rejects, memberships)
        held = [pa.total_allocated_bytes() for _ in read_chunks(tmp_path / PLAN)]
        half = len(held) // 2
        assert max(held[half:]) < max(held[:half]) + (tmp_path / PLAN).stat().st_size / 16

    def test_a_source_is_not_to_blame(self) -> None:
        """Whoever runs out of memory while reading a source is not told that the source is damaged."""
        with pytest.raises(MemoryError), reading(SourceLocation("VIP", "a.parquet")):
            raise pa.lib.ArrowMemoryError("malloc of size 1 failed")
        with pytest.raises(SourceError), reading(SourceLocation("VIP", "a.parquet")):
            raise pa.ArrowInvalid("damaged")

    def test_nor_is_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No ledger and no plan counts as damaged because there was no memory to read it."""
        path = tmp_path / PLAN
        pq.write_table(pa.table({"a": [1]}), path)
        assert parquet.is_whole(path)
        monkeypatch.setattr(parquet.pq, "ParquetFile", raising(pa.lib.ArrowMemoryError("malloc failed")))
        with pytest.raises(MemoryError):
            parquet.is_whole(path)

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
    def test_what_the_system_refuses_is_no_damage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """A file that the system does not give is not taken for damaged, which would have people throw it away."""
        monkeypatch.setattr(parquet.pq, "ParquetFile", raising(OSError(number, "no")))
        with pytest.raises(UnreadableFile, match=r"cannot be read \(.*\)\. Make it readable"):
            parquet.is_whole(tmp_path / PLAN)


def raising(error: Exception) -> Any:
    """Make a function that fails."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


class TestWriting:
    """Where files of runs cannot be written."""

    @pytest.mark.parametrize(
        ("number", "remedy"),
        [
            (errno.ENOSPC, r"No space left on device\. Free space there, or set exports_root"),
            (errno.EDQUOT, r"Free space there, or set exports_root"),
            (errno.EROFS, r"Read-only file system\. Make it writable, or set exports_root"),
            (errno.EACCES, r"Permission denied\. Make it writable, or set exports_root"),
        ],
    )
    def test_the_remedy_is_the_right_one(self, tmp_path: Path, number: int, remedy: str) -> None:
        """A full disk is not asked to be made writable, nor a closed one to be emptied."""
        folder = run_folder(tmp_path)
        words = errno_words(number)
        with pytest.raises(ConfigError, match=remedy), folder.writing(OUTCOMES):
            raise OSError(number, words)

    def test_the_first_error_is_raised(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plan that cannot be completed after an error does not hide it."""
        folder: RunFolder = run_folder(tmp_path)
        monkeypatch.setattr(pq.ParquetWriter, "close", raising(OSError(errno.ENOSPC, "full")))
        with pytest.raises(SourceError, match="the source broke"), folder.writing_plan():
            raise SourceError("the source broke")


def errno_words(number: int) -> str:
    """The system's words for an error."""
    return os.strerror(number)


NO_ROOM = """
import resource, sys
from pathlib import Path
from airflow_mailchimp_export.database import Database
from airflow_mailchimp_export.errors import ConfigError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    with Database(Path(sys.argv[1]), "planning/plan.sql") as database:
        database._create("many", [{"text": f"{number} is a number"} for number in range(500_000)])
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [1_000, 20_000, 100_000, 400_000])
def test_a_disk_that_fills_up_at_any_moment(tmp_path: Path, room: int) -> None:
    """Whether opening, working or committing finds no room left, what is said is the place and the remedy."""
    ran = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(tmp_path), str(room)], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout.startswith("DuckDB cannot work in the temporary folder")
    assert ran.stdout.endswith("Free space there, or set TMPDIR to a folder on a larger disk\n")
