"""Each kind of file, damaged in five ways: the next run of the export ends well, or says what to do, which helps."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import ExportBusy, UnreadableFile
from airflow_mailchimp_export.model import Delivery, Verdict
from airflow_mailchimp_export.state.claims import TAGS
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.ledger import SET_ASIDE as OLD_LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.notes import BEGUN, WATCH
from airflow_mailchimp_export.state.run import (
    AGGREGATES,
    BATCHES,
    OUTCOMES,
    PLAN,
    REJECTS,
    REPORT,
    RUN,
    SET_ASIDE,
    ExportFolder,
    RunFolder,
)
from tests.kit.damage import DAMAGES, Damage
from tests.kit.life import Life, changing, one_by_one
from tests.kit.mortal import Killed, kill
from tests.kit.people import many, people

PEOPLE = many(700)
UNCHANGED = Counts(rows_read=700, unchanged=700)

damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def run_of(life: Life, name: str = "run1") -> RunFolder:
    """The folder of a run, as another process sees it."""
    return RunFolder(Path(life.folder.uri) / name)


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    """All warnings."""
    return "\n".join(one.getMessage() for one in caplog.records if one.levelno == logging.WARNING)


@pytest.mark.parametrize("name", [PLAN, RUN, BEGUN, BATCHES, OUTCOMES, REJECTS, AGGREGATES, REPORT])
def test_files_of_an_older_run(life: Life, name: str) -> None:
    """Nothing that a run left that is over keeps the next ones from their work, nor itself from going one day."""
    segment = people("ada@brieftaube.eu", "bo@brieftaube.eu")
    life.run({"A": segment}, delivery=Delivery.BATCH)
    content = run_of(life).read(name)
    for damage in DAMAGES.values():
        run_of(life).put(name, damage(content))
        assert life.run({"A": segment}).counts == Counts(rows_read=2, unchanged=2)
    life.run({"A": segment}, keep_runs=1)
    assert [run.name for run in life.folder.runs()] in ([f"run{life.runs}"], ["run1"])


@damaged
def test_why_an_older_run_was_given_up(life: Life, damage: Damage) -> None:
    """Not even the note why a run was set aside has to be readable."""
    life.run({"A": PEOPLE})
    run = run_of(life)
    run.set_aside("file", "is damaged")
    run.put(SET_ASIDE, damage(run.read(SET_ASIDE)))
    run.remove(REPORT)
    assert life.run({"A": PEOPLE}, keep_runs=1).counts == UNCHANGED


@pytest.mark.parametrize("name", [PLAN, RUN, BEGUN, OUTCOMES, REJECTS, AGGREGATES])
@damaged
def test_files_of_an_unfinished_run(
    life: Life, name: str, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that died once the ledger had it is accounted for or set aside, and nobody is sent twice for it."""
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "finish", kill)
        with pytest.raises(Killed):
            life.submit({"A": PEOPLE})
    life.folder.remove(LOCK)
    run = run_of(life)
    run.put(name, damage(run.read(name)))
    with life.watched() as seen:
        assert life.run({"A": PEOPLE}).counts == UNCHANGED
    assert changing(seen) == []
    assert run.is_finished()


@pytest.mark.parametrize("name", [BATCHES, BEGUN, WATCH])
@damaged
def test_files_of_a_waiting_run(life: Life, name: str, damage: Damage) -> None:
    """A run that waits, and whose notes cannot be read, is left alone or taken over, and nobody is lost."""
    life.account.settings.change({"batch_pending": 3600.0})
    _, run = life.submit({"A": many(3)}, delivery=Delivery.BATCH)
    with pytest.raises(ExportBusy):
        life.submit({"A": many(3)}, name="run2")
    run.put(name, damage(run.read(name)))
    try:
        report = life.run({"A": many(3)}, name="run2")
    except ExportBusy:
        life.account.settings.change({"batch_pending": 0.0})
        life.wait([batch.id for batch in run.batches])
        report = life.run({"A": many(3)}, name="run2")
    assert report.verdict is Verdict.SUCCESS
    assert set(life.audience()) == {f"p{number:06d}@mail.eu" for number in range(3)}


class TestLedgers:
    """A ledger is read to its last byte before anything is believed."""

    @damaged
    def test_it_stops_the_run(self, life: Life, damage: Damage) -> None:
        """Nothing is sent, the file is named, and each of the two remedies helps."""
        life.run({"A": PEOPLE})
        content = life.folder.read(LEDGER)
        life.folder.put(LEDGER, damage(content))
        with (
            life.watched() as seen,
            pytest.raises(UnreadableFile, match=r"ledger\.parquet is damaged") as error,
        ):
            life.submit({"A": PEOPLE})
        assert changing(seen) == []
        assert "Bring the file back from a backup, or run the export once with full=True" in str(error.value)
        life.folder.put(LEDGER, content)
        assert life.run({"A": PEOPLE}).counts == UNCHANGED
        life.folder.put(LEDGER, damage(content))
        assert life.run({"A": PEOPLE}, full=True).counts == Counts(rows_read=700, updated=700)
        assert life.folder.read(OLD_LEDGER) == damage(content)
        assert life.run({"A": PEOPLE}).counts == UNCHANGED

    @pytest.mark.parametrize(
        "column", ["subscriber_hash", "email", "state", "fingerprint", "tags.list.element", "run"]
    )
    def test_any_page_of_it(self, life: Life, column: str) -> None:
        """One byte in a page of data, of whichever column, is enough not to trust the file."""
        life.run({"A": PEOPLE})
        content = bytearray(life.folder.read(LEDGER))
        with life.folder.reading(LEDGER) as path:
            group = pq.ParquetFile(path).metadata.row_group(0)
        chunk = next(
            group.column(index)
            for index in range(group.num_columns)
            if group.column(index).path_in_schema == column
        )
        end = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size
        content[end - 1] ^= 0x10
        life.folder.put(LEDGER, bytes(content))
        with life.watched() as seen, pytest.raises(UnreadableFile, match=r"ledger\.parquet is damaged"):
            life.submit({"A": PEOPLE})
        assert changing(seen) == []

    @damaged
    def test_that_of_another_export(
        self, life: Life, damage: Damage, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The ledger and the claims of an export beside this one are no obstacle, and are named."""
        life.run({"A": PEOPLE})
        beside = ExportFolder(Path(life.folder.uri).parent / "beside")
        beside.put(LEDGER, damage(life.folder.read(LEDGER)))
        assert life.run({"A": PEOPLE}).counts == UNCHANGED
        assert f"{beside.uri}/{LEDGER} is damaged" in warnings(caplog)
        beside.put(TAGS, damage(life.folder.read(TAGS)))
        assert life.run({"A": PEOPLE}).counts == UNCHANGED


@pytest.mark.parametrize("name", [LOCK, TAGS])
@damaged
def test_other_files_of_the_export(life: Life, name: str, damage: Damage) -> None:
    """A lock that nobody can read is nobody's, and claims that nobody can read are written again."""
    life.run({"A": people("ada@brieftaube.eu")})
    with life.folder.exclusive():
        life.folder.put(LOCK, b'{"run": "dead", "until": 1.0}')
    content = life.folder.read(name)
    life.folder.put(name, damage(content))
    assert life.run({"A": people("ada@brieftaube.eu")}).counts == Counts(rows_read=1, unchanged=1)
    assert not life.folder.exists(LOCK)
    assert life.folder.read(TAGS).startswith(b"{")


def test_what_may_not_be_read(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """A folder in the place of a file of a dead run is set aside like any damage."""
    with pytest.raises(Killed):
        life.submit({"A": PEOPLE}, permit=one_by_one(None, *[kill] * 20))
    life.folder.remove(LOCK)
    run = run_of(life)
    run.remove(PLAN)
    Path(run.uri, PLAN).mkdir()
    assert life.run({"A": PEOPLE}).verdict is Verdict.SUCCESS
    assert "run run1 is set aside" in warnings(caplog)
