"""Kills between two files of a run, and runs whose names are those of files."""

from __future__ import annotations

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.model import Verdict
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import AGGREGATES, RunFolder
from tests.kit.life import Life
from tests.kit.mortal import Killed, kill
from tests.kit.people import many, people

ADA, BO, CY = "ada@brieftaube.eu", "bo@brieftaube.eu", "cy@brieftaube.eu"


def killed_before_the_report(life: Life, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that was killed once the ledger had it, and before it had its report."""
    life.run({"A": people(ADA, BO)})
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "finish", kill)
        with pytest.raises(Killed):
            life.submit({"A": people(ADA, CY)}, max_removal_ratio=1.0)
    return life.folder.run("run2")


def test_a_kill_between_ledger_and_report(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joined and who left is told by whoever writes the report, though the ledger knows them by then."""
    report = life.finalize(killed_before_the_report(life, monkeypatch))
    assert report.counts == Counts(rows_read=2, unchanged=1, created=1, removed=1)
    segment = report.segments["A"]
    assert (segment.rows, segment.members, segment.joined, segment.left) == (2, 2, 1, 1)
    assert report.verdict is Verdict.SUCCESS


def test_numbers_that_cannot_be_read(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where what was kept of them is damaged, the run is accounted for anyway, and the log says so."""
    run = killed_before_the_report(life, monkeypatch)
    run.put(AGGREGATES, b"{")
    assert life.finalize(run).counts == Counts(rows_read=2, unchanged=1, created=1, removed=1)
    assert f"{run.uri}/{AGGREGATES} is damaged" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        LEDGER,
        LOCK,
        "tags.json",
        "ledger.set-aside.parquet",
        "LEDGER.parquet",
        "answers",
        ".draft-x",
        "run.json",
    ],
)
def test_runs_that_are_called_like_files(life: Life, name: str) -> None:
    """A run of any name has a folder of its own, and takes the place of nothing else."""
    assert life.run({"A": many(3)}, name=name).counts == Counts(rows_read=3, created=3)
    assert life.run({"A": many(3)}, name=name).counts == Counts(rows_read=3, unchanged=3)
    assert life.run({"A": many(3)}).counts == Counts(rows_read=3, unchanged=3)
    assert len(life.folder.runs()) == 3
    assert len(life.ledger()) == 3
