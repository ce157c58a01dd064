"""What ends the wait of an export that does it all in one task, what does not, and what it leaves behind."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.delivery import watch
from airflow_mailchimp_export.state.lock import LOCK
from tests.airflow.people import crowd, write_segments
from tests.airflow.releases import lacks
from tests.airflow.runs import (
    Failures,
    context_of,
    one_task,
    report_of,
    result,
    states,
    submit,
    wait_until_stuck,
)
from tests.kit.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_mailchimp_export.operators import SegmentToMailchimpOperator
    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
LOOKS, CANCELLATIONS = "GET /batches/{batch_id}", "DELETE /batches/{batch_id}"
PEOPLE = {"VIP": crowd("vip", 30)}
NEW_KEY = "f" * 32 + "-us0"

waits = pytest.mark.parametrize("deferrable", [False, True], ids=["holding a worker", "deferring"])


@pytest.fixture(autouse=True)
def quick_looks_after_hiccups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a look that went wrong be followed by the next soon, too."""
    monkeypatch.setattr(watch, "LONGEST_PAUSE", 0.2)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where runs keep their files."""
    return tmp_path / "kept"


@pytest.fixture
def export(mailchimp: Sandbox, airflow_db: None, tmp_path: Path, kept: Path) -> SegmentToMailchimpOperator:
    """A deferrable export whose batches Mailchimp never finishes."""
    mailchimp.change(batch_stuck=-1)
    dag = one_task(segments=write_segments(tmp_path, PEOPLE), deferrable=True, exports_root=str(kept))
    operator: SegmentToMailchimpOperator = dag.task_dict["export"]
    return operator


def looks(sandbox: Sandbox) -> int:
    """Count how often Mailchimp was asked for a batch."""
    return sum(sandbox.stats()["requests"].get(LOOKS, {}).values())


def locks(kept: Path) -> list[Path]:
    """Find the locks of exports."""
    return list(kept.glob(f"*/{LOCK}"))


def after_looks(sandbox: Sandbox, times: int, act: Callable[[], object]) -> None:
    """Do something once Mailchimp was asked for its batches so many times."""
    wait_until(lambda: looks(sandbox) >= times, "looks at the batches")
    act()


def deferred(export: SegmentToMailchimpOperator, resume: Callable[[], object]) -> Any:
    """Let a task run until it is deferred."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as found:
        resume()
    return found.value


@waits
def test_stopped_batches_are_accounted_for(
    deferrable: bool,
    mailchimp: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Where somebody stops the batches the task goes on to its report, and warns of it by name."""
    mailchimp.change(batch_stuck=-1)
    failures = Failures()
    dag = one_task(segments=write_segments(tmp_path, PEOPLE), deferrable=deferrable, **failures.settings)
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(after_looks, mailchimp, 2, lambda: mailchimp.control("batches/stop", {}))
        run = run_dag(dag)
    assert states(run) == {"export": "failed"}
    assert "30 unconfirmed of 30 people" in str(failures[0])
    assert "Mailchimp will not finish these batches" in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("deadlock", marks=lacks("error of deadlocks", before=(3, 3))),
        "unknown connection",
        "network",
    ],
)
def test_a_hiccup_of_the_triggerer_does_not_end_the_wait(
    kind: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task looks itself, waits on and accounts for everybody; nothing is called off, and nothing is retried."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException
    from airflow.sdk.execution_time import comms

    from airflow_mailchimp_export import triggers

    deadlock = getattr(comms, "DeadlockImminentError", RuntimeError)
    errors = {
        "deadlock": deadlock("GetConnection"),
        "unknown connection": AirflowNotFoundException("mailchimp_default"),
        "network": ConnectionError("the execution API"),
    }
    real, hiccups = triggers.get_async_connection, [errors[kind]] * 2

    async def hiccuping(conn_id: str) -> Any:
        if hiccups:
            raise hiccups.pop()
        return await real(conn_id)

    mailchimp.change(batch_stuck=-1)
    monkeypatch.setattr(triggers, "get_async_connection", hiccuping)
    failures = Failures()
    dag = one_task(segments=write_segments(tmp_path, PEOPLE), deferrable=True, **failures.settings)
    with ThreadPoolExecutor(1) as meanwhile:
        meanwhile.submit(after_looks, mailchimp, 4, lambda: mailchimp.change(batch_stuck=0))
        run = run_dag(dag)
    assert states(run) == {"export": "success"}
    assert (hiccups, failures.retried) == ([], [])
    assert report_of(result(run)["run_uri"])["counts"]["created"] == 30
    assert CANCELLATIONS not in mailchimp.stats()["requests"]


@pytest.mark.parametrize("error", ["Trigger failure", None])
def test_what_airflow_ends_without_an_event_goes_on(
    error: str | None, export: SegmentToMailchimpOperator, mailchimp: Sandbox, kept: Path
) -> None:
    """Airflow hands nothing over of a trigger that died; the run is found again and waited for, with its lock."""
    context = context_of(export)
    first = deferred(export, lambda: export.execute(context))
    again = deferred(export, lambda: export.resume_execution("__fail__", {"error": error}, context))
    assert again.kwargs == first.kwargs
    assert again.trigger.batch_ids == first.trigger.batch_ids
    assert again.trigger.end == first.trigger.end == context["ti"].start_date.timestamp() + 43_200
    assert len(locks(kept)) == 1
    assert CANCELLATIONS not in mailchimp.stats()["requests"]


def test_standing_still_counts_on_from_trigger_to_trigger(
    export: SegmentToMailchimpOperator, mailchimp: Sandbox
) -> None:
    """Hiccups do not make a wait endless: without progress it ends at stall_timeout, and is accounted for."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    context = context_of(export)
    first = deferred(export, lambda: export.execute(context))
    wait_until_stuck(mailchimp)
    event = {"status": "error", "message": "hiccup", "batch_ids": first.trigger.batch_ids}
    again = deferred(export, lambda: export.execute_complete(context, event, **first.kwargs))
    record = {**again.trigger.record, "moved_at": time.time() - 1_800}
    with pytest.raises(AirflowFailException, match="30 unconfirmed of 30 people"):
        export.execute_complete(context, {**event, "record": record}, **first.kwargs)


@waits
def test_the_longest_wait_ends_in_a_report(
    deferrable: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, kept: Path
) -> None:
    """Whatever moves, after wait_timeout the run is accounted for, and the export is free."""
    mailchimp.change(batch_endless=True)
    failures = Failures()
    settings = {"wait_timeout": timedelta(seconds=2), "exports_root": str(kept), **failures.settings}
    run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), deferrable=deferrable, **settings))
    assert states(run) == {"export": "failed"}
    assert "30 unconfirmed of 30 people" in str(failures[0])
    assert len(list(kept.glob("*/*/report.json"))) == 1
    assert locks(kept) == []


@waits
def test_execution_timeout_is_kept(
    deferrable: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, kept: Path
) -> None:
    """Deferred or not, the task ends when execution_timeout is over: batches called off, lock freed, retries apply."""
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    mailchimp.change(batch_pending=3600.0)
    failures = Failures()
    settings = {"execution_timeout": timedelta(seconds=10), "exports_root": str(kept), **failures.settings}
    settings["retries"] = 0
    run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), deferrable=deferrable, **settings))
    assert states(run) == {"export": "failed"}
    assert [type(failure) for failure in failures] == [AirflowTaskTimeout]
    assert mailchimp.stats()["requests"][CANCELLATIONS] == {"204": 1}
    assert locks(kept) == []


@pytest.mark.parametrize("limit", [600, None])
def test_a_deferral_ends_by_itself(limit: int | None, export: SegmentToMailchimpOperator, kept: Path) -> None:
    """Where no triggerer works Airflow ends the deferral a minute after its end, and the lock is freed then too."""
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

    export.execution_timeout = timedelta(seconds=limit) if limit else None
    context = context_of(export)
    found = deferred(export, lambda: export.execute(context))
    assert found.trigger.end == context["ti"].start_date.timestamp() + (limit or 43_200)
    assert 0 < found.timeout.total_seconds() - (limit or 43_200) <= 60
    with pytest.raises(AirflowTaskTimeout if limit else AirflowFailException):
        export.resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert locks(kept) == []


@waits
def test_consent_that_is_withdrawn_calls_the_batches_off(
    mailchimp: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    """What Mailchimp has not worked off by then, it does not; the task says why, after its account of the run."""
    mailchimp.change(batch_pending=3600.0)
    withdrawn = json.dumps(mailchimp.connection(data_privacy_consent=False))

    def withdraw() -> None:
        after_looks(mailchimp, 2, lambda: monkeypatch.setenv(CONNECTION, withdrawn))

    failures = Failures()
    dag = one_task(
        segments=write_segments(tmp_path, PEOPLE),
        deferrable=deferrable,
        exports_root=str(kept),
        **failures.settings,
    )
    with ThreadPoolExecutor() as pool:
        withdrawal = pool.submit(withdraw)
        run = run_dag(dag)
        withdrawal.result(PATIENCE)
    assert states(run) == {"export": "failed"}
    assert failures.retried == []
    assert "data privacy consent (data_privacy_consent) is off" in str(failures[0])
    assert sum(mailchimp.stats()["requests"][CANCELLATIONS].values()) == 1
    assert mailchimp.members() == []
    (report,) = kept.glob("*/*/report.json")
    assert report_of(str(report.parent))["counts"]["unconfirmed"] == 30
    assert locks(kept) == []


@waits
def test_a_key_that_is_revoked_meanwhile_frees_the_export(
    deferrable: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, kept: Path
) -> None:
    """A 401 that stands fails the task at its first try, and the next run need not wait for its lock."""
    mailchimp.change(batch_stuck=-1)
    failures = Failures()
    settings = {"deferrable": deferrable, "exports_root": str(kept), **failures.settings}
    with ThreadPoolExecutor(1) as meanwhile:
        revoked = lambda: mailchimp.control("key/rotate", {"key": NEW_KEY})  # noqa: E731
        meanwhile.submit(after_looks, mailchimp, 2, revoked)
        run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), **settings))
    assert states(run) == {"export": "failed"}
    assert failures.retried == []
    assert "401" in str(failures[0])
    assert locks(kept) == []


def test_a_report_that_is_refused_frees_the_export(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that ends with a 401 leaves no lock behind."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    from airflow_mailchimp_export.operators import MailchimpExportReportOperator

    handed_over = submit(write_segments(tmp_path, PEOPLE), exports_root=str(kept))
    assert len(locks(kept)) == 1
    monkeypatch.setenv(CONNECTION, json.dumps({**mailchimp.connection(), "password": ""}))
    report = MailchimpExportReportOperator(task_id="report", run_uri=handed_over["run_uri"])
    with pytest.raises(AirflowFailException, match="password"):
        report.execute(context_of(report))
    assert locks(kept) == []


def test_a_killed_report_frees_the_export(
    mailchimp: Sandbox, airflow_db: None, tmp_path: Path, kept: Path
) -> None:
    """A report that is killed while it works leaves no lock behind, and calls nothing off."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator

    mailchimp.change(latency=0.5)
    handed_over = submit(write_segments(tmp_path, PEOPLE), exports_root=str(kept))
    report = MailchimpExportReportOperator(task_id="report", run_uri=handed_over["run_uri"])
    with ThreadPoolExecutor(1) as thread:
        before = looks(mailchimp)
        running = thread.submit(report.execute, context_of(report))
        after_looks(mailchimp, before + 1, report.on_kill)
        running.exception(timeout=PATIENCE)
    assert locks(kept) == []
    assert CANCELLATIONS not in mailchimp.stats()["requests"]
