"""The ledger file: what makes it trustworthy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from airflow_mailchimp_export.accounting.report import Counts, Report
from airflow_mailchimp_export.errors import ConfigError, NewerFormat
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.ledger import (
    LEDGER,
    METADATA_KEY,
    MIGRATIONS,
    SET_ASIDE,
    LedgerMark,
    Migration,
    check_owner,
    opened,
    read_mark,
    set_aside,
)
from airflow_mailchimp_export.state.run import REPORT, ExportFolder
from tests.kit.exports import AUDIENCE_ID
from tests.kit.life import Life, changing, one_by_one
from tests.kit.people import people

ADA, BO = "ada@brieftaube.eu", "bo@brieftaube.eu"
ROWS = pa.table({"email": [ADA]})
MARK = {"export": "life", "audience_id": AUDIENCE_ID, "version": 3, "run": "run3", "format": 2}
DAMAGED = r"ledger\.parquet is damaged\. .*full=True \(in the form: .*\), which sets it aside"


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ExportFolder:
    """The folder of an export, on the local disk and on another storage."""
    places = {"local": tmp_path / "export", "memory": UPath(f"memory://{uuid4().hex}/export")}
    return ExportFolder(places[request.param])


def write(folder: ExportFolder, mark: Mapping[str, Any] | str | None, table: pa.Table = ROWS) -> None:
    """Write a ledger that says this of itself."""
    text = mark if isinstance(mark, str) or mark is None else orjson.dumps(mark).decode()
    with folder.writing(LEDGER) as draft:
        pq.write_table(
            table.replace_schema_metadata({METADATA_KEY: text} if text is not None else None), draft
        )


class TestMark:
    """What a ledger says of itself."""

    def test_it_is_read_back(self, folder: ExportFolder) -> None:
        """Format, export, audience, version and run are in the file's metadata."""
        assert read_mark(folder) is None
        write(folder, MARK)
        mark = read_mark(folder)
        assert mark == LedgerMark("life", AUDIENCE_ID, version=3, run="run3")
        basis = {"shape": "", "salt": "", "order": [], "rules": ""}
        said = {"basis": basis, "tags": None, "looked_up_at": "", "data_moment": "", "unusable_rows": {}}
        said["retired"] = []
        assert orjson.loads(mark.to_json()) == {**MARK, **said}
        assert read_mark(folder) == mark

    def test_format_1_is_read(self, folder: ExportFolder) -> None:
        """What release 0.1.0 wrote does not say what its fingerprints are based on."""
        write(folder, {**MARK, "format": 1})
        with opened(folder) as ledger:
            assert ledger
            assert (ledger.mark, ledger.is_outdated) == (
                LedgerMark("life", AUDIENCE_ID, version=3, run="run3"),
                True,
            )

    def test_what_is_not_known_is_ignored(self, folder: ExportFolder) -> None:
        """A further key, as another release may write one without another format, changes nothing."""
        write(folder, {**MARK, "further": 1})
        with opened(folder) as ledger:
            assert ledger
            assert (ledger.mark, ledger.is_outdated) == (
                LedgerMark("life", AUDIENCE_ID, version=3, run="run3"),
                False,
            )

    @pytest.mark.parametrize(
        "mark",
        [None, "", "{", "[]", "{}", {"export": "life"}, {**MARK, "format": 0}, {**MARK, "format": "2"}],
        ids=["none", "empty", "no json", "a list", "nothing", "too little", "no format", "text"],
    )
    def test_a_foreign_file_is_an_error(self, folder: ExportFolder, mark: Any) -> None:
        """A Parquet file that is no ledger is an error that names the remedy, not an empty ledger."""
        write(folder, mark)
        with pytest.raises(ConfigError, match=DAMAGED) as error:
            read_mark(folder)
        assert folder.uri in str(error.value)

    def test_a_newer_file_is_an_error(self, folder: ExportFolder) -> None:
        """A ledger of a format that is not known yet is an error that says so, and what to do."""
        write(folder, {**MARK, "format": 3, "further": 1})
        with pytest.raises(NewerFormat) as error:
            read_mark(folder)
        assert str(error.value) == (
            f"The ledger {folder.uri}/{LEDGER} was written by a newer release of airflow-mailchimp-export (format 3; "
            "this one reads up to 2). Install that release, or a later one, wherever this export runs"
        )

    @pytest.mark.parametrize(
        "keep", [0, 4, -1, -100], ids=["nothing", "the start", "all but one", "all but 100"]
    )
    def test_a_damaged_file_is_an_error(self, folder: ExportFolder, keep: int) -> None:
        """A file that was cut short anywhere is an error, not an empty ledger."""
        write(folder, MARK)
        folder.put(LEDGER, folder.read(LEDGER)[:keep])
        with pytest.raises(ConfigError, match=DAMAGED):
            read_mark(folder)

    @pytest.mark.parametrize(("export", "audience"), [("other", AUDIENCE_ID), ("life", "ffffffffff")])
    def test_another_exports_ledger_is_an_error(self, export: str, audience: str) -> None:
        """Another name or audience is not taken for this export's; the message says whose it is and what to do."""
        mark = LedgerMark(export, audience, version=1, run="run1")
        with pytest.raises(ConfigError) as error:
            check_owner(mark, export="life", audience_id=AUDIENCE_ID)
        assert str(error.value) == (
            f"The ledger belongs to export {export!r} of audience {audience}, not to 'life' of {AUDIENCE_ID}. "
            "Give this export another export_name, or run it once with full=True "
            '(in the form: "Send everybody"), which sets the old ledger aside '
            "and starts again: whom it put into the old audience stays there"
        )

    def test_its_own_ledger_is_none(self) -> None:
        """The export's own ledger, or none yet, lets it pass."""
        check_owner(None, export="life", audience_id=AUDIENCE_ID)
        check_owner(
            LedgerMark("life", AUDIENCE_ID, version=1, run="x"), export="life", audience_id=AUDIENCE_ID
        )


class TestFile:
    """Lending it and setting it aside."""

    def test_it_is_lent_as_a_local_file(self, folder: ExportFolder) -> None:
        """Where there is a ledger a local path leads to it; where there is none, none does."""
        with opened(folder) as ledger:
            assert ledger is None
        write(folder, MARK)
        with opened(folder) as ledger:
            assert ledger
            assert ledger.path.read_bytes() == folder.read(LEDGER)

    def test_it_is_set_aside(self, folder: ExportFolder) -> None:
        """What is set aside is kept under a name that is never used again; where there is none, nothing happens."""
        set_aside(folder)
        assert not folder.exists(SET_ASIDE)
        folder.put(LEDGER, b"old")
        set_aside(folder)
        folder.put(LEDGER, b"older")
        set_aside(folder)
        assert folder.read(SET_ASIDE) == b"old"
        assert folder.read("ledger.set-aside-2.parquet") == b"older"


class TestPages:
    """The rows, which are read before the file is trusted."""

    def test_a_damaged_page_is_found(self, life: Life) -> None:
        """Wherever bytes of a page are lost, the ledger is damaged, though its footer is whole."""
        life.run({"A": people(*(f"p{number}@brieftaube.eu" for number in range(3000)))})
        whole = life.folder.read(LEDGER)
        with life.folder.reading(LEDGER) as path:
            file = pq.read_metadata(path)
        groups = (file.row_group(number) for number in range(file.num_row_groups))
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        for column in columns:
            first = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            end = first + column.total_compressed_size
            life.folder.put(LEDGER, whole[: end - 12] + bytes(12) + whole[end:])
            with pytest.raises(ConfigError, match=DAMAGED):
                read_mark(life.folder)

    def test_a_damaged_page_stops_the_run(self, life: Life) -> None:
        """Nothing is sent, and the message names the ledger and the remedy."""
        life.run({"A": people(*(f"p{number}@brieftaube.eu" for number in range(3000)))})
        whole = life.folder.read(LEDGER)
        life.folder.put(LEDGER, whole[:2000] + bytes(200) + whole[2200:])
        with life.watched() as seen, pytest.raises(ConfigError, match=DAMAGED):
            life.run({"A": people(ADA)})
        assert seen == []


class TestMigrations:
    """Ledgers of older formats."""

    NEXT = (
        *MIGRATIONS,
        Migration(
            rows="SELECT email, lower(state) AS state, 'unknown' AS origin FROM ledger",
            mark=lambda mark: {**mark, "audience_id": mark["audience"]},
        ),
    )
    """Format 3 renames a column's values, adds a column, and calls the audience by another name."""

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_new_format_is_one_entry(self, folder: ExportFolder, number: int) -> None:
        """With a migration more, ledgers of all earlier formats are read as ones of the new format."""
        mark = {"export": "life", "audience": AUDIENCE_ID, "version": 3, "run": "run3", "format": number}
        write(folder, mark, pa.table({"email": [ADA, BO], "state": ["MEMBER", "REJECTED"]}))
        before = folder.read(LEDGER)
        with opened(folder, migrations=self.NEXT) as ledger:
            assert ledger
            assert (ledger.mark, ledger.is_outdated) == (LedgerMark("life", AUDIENCE_ID, 3, "run3"), True)
            assert pq.read_table(ledger.path).to_pylist() == [
                {"email": ADA, "state": "member", "origin": "unknown"},
                {"email": BO, "state": "rejected", "origin": "unknown"},
            ]
        assert folder.read(LEDGER) == before

    def test_a_further_migration_reads_what_the_one_before_made(self, folder: ExportFolder) -> None:
        """Migrations are applied in their order, and only those that a ledger has not had."""
        doubled = [
            Migration(),
            Migration(rows="SELECT email, n * 2 AS n FROM ledger"),
            Migration("SELECT n + 1 AS n FROM ledger"),
        ]
        seen = {}
        for number in (2, 3, 4):
            write(folder, {**MARK, "format": number}, pa.table({"email": [ADA], "n": [5]}))
            with opened(folder, migrations=doubled) as ledger:
                assert ledger
                seen[number] = pq.read_table(ledger.path)["n"].to_pylist()
        assert seen == {2: [11], 3: [6], 4: [5]}

    def test_an_outdated_ledger_is_written_in_the_present_format(self, life: Life) -> None:
        """A run that changes nobody writes the ledger again where that was of an older format."""
        life.run({"A": people(ADA)})
        with opened(life.folder) as ledger:
            assert ledger
            table = pq.read_table(ledger.path)
            said = orjson.loads(ledger.mark.to_json())
        write(life.folder, {**said, "format": 1}, table)
        assert life.run({"A": people(ADA)}).counts == Counts(rows_read=1, unchanged=1)
        assert version_and_run(life) == (2, "run2")
        with opened(life.folder) as ledger:
            assert ledger
            assert not ledger.is_outdated


def version_and_run(life: Life) -> tuple[int, str]:
    """Which version of the ledger there is, and which run wrote it."""
    mark = read_mark(life.folder)
    assert mark
    assert (mark.export, mark.audience_id) == ("life", AUDIENCE_ID)
    return mark.version, mark.run


class TestRuns:
    """Runs of an export, and their ledger."""

    def test_its_version_grows_by_one_with_each_run_that_changes_it(self, life: Life) -> None:
        """The mark names the run that wrote it last; a run that changes nothing does not write it again."""
        life.run({"A": people(ADA)})
        life.run({"A": people(ADA)})
        assert version_and_run(life) == (1, "run1")
        life.run({"A": people(ADA, BO)})
        assert version_and_run(life) == (2, "run3")

    @pytest.mark.parametrize("content", [b"", b"no ledger"])
    def test_a_damaged_ledger_stops_the_run(self, life: Life, content: bytes) -> None:
        """Nothing is sent, the report is FAILED with the reason, and the file stays for a look at it."""
        life.run({"A": people(ADA, BO)})
        life.folder.put(LEDGER, content)
        with life.watched() as seen, pytest.raises(ConfigError, match=DAMAGED):
            life.run({"A": people(ADA)})
        assert changing(seen) == []
        report = Report.from_json(life.folder.read(f"run2/{REPORT}"))
        assert report.verdict is Verdict.FAILED
        assert "is damaged" in report.error
        assert life.folder.read(LEDGER) == content

    def test_full_starts_anew(self, life: Life, caplog: pytest.LogCaptureFixture) -> None:
        """With full=True a damaged ledger is set aside, everybody is sent, a new one begins, and the log says so."""
        life.run({"A": people(ADA, BO)})
        life.folder.put(LEDGER, b"damaged")
        report = life.run({"A": people(ADA)}, full=True)
        assert report.counts == Counts(rows_read=1, updated=1)
        assert life.folder.read(SET_ASIDE) == b"damaged"
        assert version_and_run(life) == (1, "run2")
        assert life.tags(BO) == {"A"}
        assert any(
            "This run starts from nothing, and sets it aside at its end" in message
            for message in caplog.messages
        )

    def test_a_dry_run_sets_nothing_aside(self, life: Life) -> None:
        """A dry run, though full, leaves even a damaged ledger where it is."""
        life.folder.put(LEDGER, b"damaged")
        assert life.run({"A": people(ADA)}, full=True, dry_run=True).counts.created == 1
        assert (life.folder.read(LEDGER), life.folder.exists(SET_ASIDE)) == (b"damaged", False)

    def test_a_refused_full_run_sets_nothing_aside(self, life: Life) -> None:
        """A run in full that its guards stop leaves even a damaged ledger where it is."""
        life.folder.put(LEDGER, b"damaged")
        with pytest.raises(ConfigError, match="max_profiles"):
            life.run({"A": people(ADA, BO)}, full=True, max_profiles=1)
        assert (life.folder.read(LEDGER), life.folder.exists(SET_ASIDE)) == (b"damaged", False)

    def test_another_audience_is_another_ledger(self, life: Life) -> None:
        """An export that is pointed to another audience does not take that one for the old."""
        life.run({"A": people(ADA)})
        life.account.add_audience("ffffffffff", "Other")
        with pytest.raises(ConfigError, match="belongs to export 'life' of audience a1b2c3d4e5"):
            life.run({"A": people(ADA)}, audience_id="ffffffffff")
        report = life.run({"A": people(ADA)}, audience_id="ffffffffff", full=True)
        assert report.counts == Counts(rows_read=1, created=1)

    @pytest.mark.parametrize("delivery", Delivery)
    def test_an_older_plan_does_not_overwrite_a_newer_ledger(self, life: Life, delivery: Delivery) -> None:
        """A run whose ledger was written by another one meanwhile fails with the reason, and leaves it as it is."""
        life.run({"A": people(ADA)})
        mark = read_mark(life.folder)
        assert mark
        newer = replace(mark, version=2, run="other")

        def write_meanwhile() -> None:
            """Write the ledger as another run would."""
            with life.folder.reading(LEDGER) as path:
                table = pq.read_table(path)
            with life.folder.writing(LEDGER) as draft:
                pq.write_table(table.replace_schema_metadata({METADATA_KEY: newer.to_json()}), draft)

        segments = {"A": people(ADA, BO)}
        permit = one_by_one(None, write_meanwhile)
        submission, folder = life.submit(segments, delivery=delivery, permit=permit)
        life.wait(submission.batch_ids)
        report = submission.report or life.finalize(folder)
        assert report.verdict is Verdict.FAILED
        assert report.error.startswith("Run other has written the ledger since this run was planned")
        assert read_mark(life.folder) == newer
        assert [row["effect"] for row in life.outcomes("run2")] == ["created"]
        assert life.run(segments).counts == Counts(rows_read=2, unchanged=1, updated=1)

    def test_a_dead_run_of_an_older_ledger_is_no_obstacle(self, life: Life) -> None:
        """A dead run that can write no ledger any more is closed as FAILED, and the next run goes on."""
        segments = {"A": people(ADA)}
        life.submit(segments, delivery=Delivery.BATCH)
        life.folder.put(LEDGER, b"damaged")
        life.folder.remove("lock.json")
        with pytest.raises(ConfigError, match=DAMAGED):
            life.run(segments)
        assert life.run(segments, full=True).verdict is Verdict.SUCCESS
        assert Report.from_json(life.folder.read(f"run1/{REPORT}")).verdict is Verdict.FAILED
