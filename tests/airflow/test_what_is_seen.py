"""What a person sees of an export in Airflow alone: the log of a task, its XCom, its state."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.people import crowd, row, write_segments
from tests.airflow.runs import Failures, one_task, report_of, result, states, three_tasks

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PACKAGE = "airflow_mailchimp_export"
PEOPLE = {"VIP": crowd("vip", 8)}
PARTLY = {"VIP": [*crowd("vip", 8), row("no-at-sign"), row(None)]}


class Log:
    """The entries of this package in the log of a run."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog

    def of(self, level: str) -> list[str]:
        """Return the entries of a level."""
        ours = (record for record in self._caplog.records if record.name.startswith(PACKAGE))
        return [record.getMessage() for record in ours if record.levelname == level]

    def account(self) -> str:
        """Return the last account of a run."""
        return next(entry for entry in reversed(self.of("INFO")) if "\n  files: " in entry)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """The log of the test's runs."""
    return Log(caplog)


def test_a_dry_run_says_so(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log) -> None:
    """Its account begins with it, speaks of what would be, and shows a masked example; the XCom says it too."""
    told = result(run_dag(one_task(segments=write_segments(tmp_path, PARTLY), dry_run=True)))
    assert (told["dry_run"], told["counts"]["created"]) == (True, 8)
    lines = log.account().splitlines()
    assert lines[0].startswith("DRY RUN, nothing was changed: export export_")
    assert "  would be created                 8" in lines
    assert "  would be created, e.g. v***@b***, v***@b***, v***@b***" in lines
    assert not any(line.strip().startswith(("created", "updated", "removed")) for line in lines)
    assert mailchimp.members() == []


def test_a_real_run_is_no_dry_run(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log) -> None:
    """The XCom of an export that sends says that it is none, handed over or done."""
    run = run_dag(three_tasks(segments=write_segments(tmp_path, PEOPLE)))
    assert [result(run, task)["dry_run"] for task in ("export", "report")] == [False, False]
    assert "DRY RUN" not in log.account()


def test_partial_is_a_warning(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log) -> None:
    """The task is green, and one warning tells rejects that are new from those of the run before."""
    settings = {"export_name": "partly", "exports_root": str(tmp_path / "kept")}
    for rows, said in ((PARTLY["VIP"], "2 new, 0 known"), ([*PARTLY["VIP"], row("nor@")], "1 new, 2 known")):
        run = run_dag(one_task(segments=write_segments(tmp_path, {"VIP": rows}), **settings))
        assert states(run) == {"export": "success"}
        assert f"{len(rows) - 8} rejected ({said} from an earlier run)" in log.of("WARNING")[-1]
        assert "rejects.csv has the reason and the remedy of each reject" in log.of("WARNING")[-1]
    account = report_of(result(run)["run_uri"])
    assert (account["rejects_new"], account["rejects_known"]) == (1, 2)
    assert len(log.of("WARNING")) == 2


def test_a_refused_run_says_what_happened_and_what_to_do(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two short entries, wrapped, with the form's name of the parameter; no table, and no history of the error."""
    failures = Failures()
    settings = {"export_name": "shrinking", "exports_root": str(tmp_path / "kept"), **failures.settings}
    run_dag(one_task(segments=write_segments(tmp_path, {"VIP": crowd("vip", 50)}), **settings))
    run = run_dag(one_task(segments=write_segments(tmp_path, {"VIP": crowd("vip", 5)}), **settings))
    assert states(run) == {"export": "failed"}
    happened, remedy = (" ".join(entry.split()) for entry in log.of("ERROR"))
    assert happened == (
        "Nothing was sent: Too many people would be removed: tag 'VIP' 45 of 50 people (90%); "
        "max_removal_ratio allows 30% of each tag and of all"
    )
    assert remedy.startswith("Remedy: Correct the source if people are missing there;")
    assert remedy.endswith('max_removal_ratio=0.9 (in the form: "Stop when more would leave")')
    assert max(len(line) for entry in log.of("ERROR") for line in entry.splitlines()) <= 88
    assert log.account().splitlines()[0].endswith("FAILED, nothing was sent")
    assert len(log.account().splitlines()) == 2
    (failure,) = failures
    assert (failure.__cause__, failure.__suppress_context__) == (None, True)
    assert "During handling of the above exception" not in "".join(capfd.readouterr())


def test_what_a_retry_may_help_is_told_in_the_same_way(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log
) -> None:
    """An error that Airflow tries again is told with its remedy by each try, and keeps its type."""
    from airflow_mailchimp_export.errors import SourceError

    failures = Failures()
    run_dag(one_task(segments={"VIP": str(tmp_path / "nowhere.parquet")}, **failures.settings))
    (failure,) = failures
    assert isinstance(failure, SourceError)
    assert (failure.__cause__, failure.__suppress_context__) == (None, True)
    frames = {frame.filename.rpartition("/")[2] for frame in traceback.extract_tb(failure.__traceback__)}
    assert not {"export.py", "planner.py", "finding.py"} & frames
    happened, remedy = (" ".join(entry.split()) for entry in log.of("ERROR")[:2])
    assert happened.startswith("Nothing was sent: segment 'VIP': there is no file or folder")
    assert remedy == f"Remedy: {SourceError.usual_remedy}"
    assert len(log.of("ERROR")) == 4


def test_a_verdict_that_fails_the_task_says_what_to_do(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log
) -> None:
    """A message points to rejects.csv only where there is something in it."""
    mailchimp.change(batch_stuck=-1)
    failures = Failures()
    dag = one_task(segments=write_segments(tmp_path, PEOPLE), stall_timeout=0.2, **failures.settings)
    assert states(run_dag(dag)) == {"export": "failed"}
    happened, remedy = (" ".join(entry.split()) for entry in log.of("ERROR"))
    assert happened.endswith("failed: 0 rejected and 8 unconfirmed of 8 people")
    assert remedy.startswith(
        "Remedy: Run the export again: it sends whom Mailchimp did not confirm. Files of"
    )
    assert "rejects.csv" not in remedy


@pytest.mark.parametrize("how", [{"delivery": "direct"}, {"dry_run": True}, {}], ids=str)
def test_the_report_task_always_tells_the_account(
    how: dict[str, Any], mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, log: Log
) -> None:
    """After direct delivery, a dry run and a run that had nothing to send, its log has the account too."""
    segments = write_segments(tmp_path, PEOPLE)
    settings = {"export_name": "told", "exports_root": str(tmp_path / "kept")}
    if not how:
        run_dag(one_task(segments=segments, **settings))
    before = len([entry for entry in log.of("INFO") if "\n  files: " in entry])
    run = run_dag(three_tasks(segments=segments, **settings, **how))
    assert set(states(run).values()) == {"success"}
    accounts = [entry for entry in log.of("INFO") if "\n  files: " in entry][before:]
    assert len(accounts) == 2
    assert accounts[0] == accounts[1]
