"""Kills between two files of a run, and runs whose names are those of files."""

from __future__ import annotations

import errno
import json

import pytest

from airflow_mailchimp_export.accounting.report import Counts
from airflow_mailchimp_export.errors import AccessDenied, ConfigError
from airflow_mailchimp_export.model import Verdict
from airflow_mailchimp_export.planning.planner import Planner
from airflow_mailchimp_export.state.ledger import LEDGER
from airflow_mailchimp_export.state.lock import LOCK
from airflow_mailchimp_export.state.run import AGGREGATES, RunFolder
from tests.kit.client import raising
from tests.kit.exports import LIST
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


def test_a_worker_without_memory(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little memory is told as that, and the next run goes on as if nothing had been."""

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Planner, "plan", full)
        with pytest.raises(
            ConfigError, match=r"The worker has no memory left\. Nothing was sent\. Give it more"
        ):
            life.submit({"A": people(ADA)})
    assert life.run({"A": people(ADA)}).counts == Counts(rows_read=1, created=1)


def test_the_first_error_is_told(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a run that is stopped cannot be accounted for either, what stopped it is what is raised."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    life.script[f"POST {LIST}"] = raising(AccessDenied("The key was revoked", status=401))
    monkeypatch.setattr("airflow_mailchimp_export.export.finalize", full)
    with pytest.raises(AccessDenied, match="The key was revoked"):
        life.submit({"A": people(ADA)})
    assert "No report could be written: OSError" in caplog.text


def test_long_texts(life: Life) -> None:
    """A text of any length is sent as far as Mailchimp takes it, and said; a link or an address is never cut."""
    life.sandbox.call("POST", f"{LIST}/merge-fields", {"tag": "URL", "name": "Link", "type": "url"})
    table = people(
        ADA,
        "b" * 20_000 + BO,
        name=["x" * 20_000, "y"],
        link=["https://x.eu/" + "y" * 20_000, "https://x.eu/"],
    )
    fields = {"EMAIL": "email", "FNAME": "name", "URL": "link"}
    report = life.run({"A": table}, field_map=fields, max_reject_ratio=1.0)
    assert report.counts == Counts(rows_read=2, created=1, rejected=1)
    assert {(warning.field, warning.kind) for warning in report.warnings} == {
        ("FNAME", "text_cut"),
        ("URL", "not_a_url"),
    }
    (sent,) = [json.loads(request.body or b"")["members"][0] for request in life.carriers()]
    assert sent["merge_fields"] == {"FNAME": "x" * 255}


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
