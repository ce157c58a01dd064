"""What plain Airflow has of a run, however it ended: the XCom ``mailchimp_report``."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export import progress
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.published import XCOM_KEY, PublishedReport
from tests.airflow.people import SEGMENTS, crowd, row, write_listed, write_segments
from tests.airflow.runs import (
    Failures,
    context_of,
    new_dag,
    one_task,
    report_of,
    result,
    states,
    submit,
    three_tasks,
    xcoms,
)
from tests.kit.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

PEOPLE = {"VIP": crowd("vip", 30), "Newsletter": crowd("reader", 20)}
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]+")


def published(run: DagRun, task_id: str = "export") -> PublishedReport:
    """Read what a task of a run published."""
    told = xcoms(run)[task_id, -1, XCOM_KEY]
    assert not ADDRESS.search(json.dumps(told))
    return PublishedReport.model_validate(told)


def problem(run: DagRun, task_id: str = "export") -> str:
    """Read what kind of problem stopped a run, which has failed."""
    told = published(run, task_id)
    assert (told.verdict, states(run)[task_id]) == ("failed", "failed")
    assert told.problem
    assert told.problem.message
    assert told.problem.remedy
    return told.problem.kind.value


@pytest.mark.parametrize(
    ("wiring", "deferrable"), [(one_task, True), (three_tasks, False)], ids=["deferring", "three tasks"]
)
def test_a_partial_run(
    wiring: Any, deferrable: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """The task that accounts publishes the account, with audience, connection and samples of the rejects."""
    mailchimp.load(write_listed(tmp_path / "listed.csv"))
    run = run_dag(wiring(segments=write_segments(tmp_path), deferrable=deferrable))
    accounts = "export" if wiring is one_task else "report"
    told, account = published(run, accounts), report_of(result(run, accounts)["run_uri"])
    assert told.counts
    assert told.counts.model_dump() == account["counts"]
    assert (told.verdict, told.refused, told.problem) == ("partial", False, None)
    assert [segment.name for segment in told.segments] == list(SEGMENTS)
    assert told.audience.model_dump() == {
        "id": mailchimp.audience_id,
        "name": "Sandbox audience",
        "web_id": 1000,
        "data_center": mailchimp.key.partition("-")[2],
        "page": f"{mailchimp.url}/",
    }
    assert (told.connection_id, told.run_uri) == ("mailchimp_default", result(run, accounts)["run_uri"])
    assert {reject.reason for reject in told.sample_rejects} == set(account["rejects_by_reason"])
    assert all(reject.remedy and re.search(r"\.parquet:\d+", reject.source) for reject in told.sample_rejects)
    assert [key for key in xcoms(run) if key[2] == XCOM_KEY] == [(accounts, -1, XCOM_KEY)]


def test_a_dry_run(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A dry run shows masked examples, and was not refused."""
    told = published(run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), dry_run="true", full=True)))
    assert (told.dry_run, told.full, told.verdict, told.refused) == (True, True, "success", False)
    assert told.examples == {"created": ("r***@b***",) * 3}


def test_too_many_would_leave(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A run that the removal limit stopped says what would let it through, and that is true."""
    left = {"VIP": PEOPLE["VIP"][:3], "Newsletter": PEOPLE["Newsletter"]}
    settings = {"export_name": "pair", "exports_root": str(tmp_path / "kept")}
    run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), **settings))
    settings["segments"] = write_segments(tmp_path, left)
    run = run_dag(one_task(**settings))
    assert problem(run) == "removal_limit"
    told = published(run)
    assert told.refused
    assert told.problem
    assert told.problem.allow
    assert (told.problem.allow.param, told.problem.allow.value) == ("max_removal_ratio", 0.9)
    in_all, vip = told.problem.allow.removals
    assert (in_all.tag, vip.tag, in_all.removed, vip.owned) == ("", "VIP", 27, 30)
    allowed = run_dag(one_task(**settings, options={told.problem.allow.param: told.problem.allow.value}))
    assert published(allowed).counts == told.counts.model_copy(  # type: ignore[union-attr]
        update={"not_sent": 0, "unchanged": 23, "removed": 27}
    )


def test_consent_is_missing(
    sandbox: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that may not send anything is refused, before it has a folder."""
    connection = json.dumps(sandbox.connection(data_privacy_consent=False))
    monkeypatch.setenv("AIRFLOW_CONN_MAILCHIMP_DEFAULT", connection)
    run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE)))
    assert problem(run) == "consent"
    assert published(run).refused


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"delivery": "pigeon"}, "config"),
        ({"mailchimp_conn_id": "nowhere"}, "config"),
        ({"field_map": {"EMAIL": "email", "FNAME": "forename"}}, "source"),
        ({"field_map": {"EMAIL": "first_name"}}, "too_many_rejects"),
        ({"audience_id": "0000000000"}, "mailchimp_refused"),
    ],
    ids=["set-up", "no connection", "source", "rejects", "no audience"],
)
def test_what_stops_a_run(
    settings: dict[str, Any], kind: str, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Whatever the task fails with is published, by its kind, with what happened and what to do."""
    run = run_dag(one_task(**{"segments": write_segments(tmp_path, PEOPLE), **settings}))
    assert problem(run) == kind


def test_another_run_is_at_work(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A run that finds the export taken says so, and where it would have gone."""
    mailchimp.change(batch_pending=3600.0)
    settings = {"segments": write_segments(tmp_path, PEOPLE), "export_name": "one"}
    submit(**settings)
    run = run_dag(one_task(**settings))
    assert problem(run) == "busy"
    told = published(run)
    assert (told.refused, told.counts, told.audience.id) == (True, None, mailchimp.audience_id)


def test_the_last_try_counts(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try that failed publishes so; the try after it, which went well, publishes only that."""
    from airflow_mailchimp_export import hooks

    monkeypatch.setattr(hooks, "to_client", partial(hooks.to_client, pace=Pace(attempts=2, first_pause=0.01)))
    mailchimp.change(fault_rate=1.0, faults="unavailable")
    first: list[Any] = []

    def mend(context: Any) -> None:
        first.append(context["ti"].xcom_pull(task_ids="export", key=XCOM_KEY))
        mailchimp.change(fault_rate=0.0)

    settings = {**Failures().settings, "on_retry_callback": mend}
    run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE), delivery="direct", **settings))
    assert first[0]["problem"]["kind"] == "mailchimp_unreachable"
    assert (published(run).verdict, published(run).problem) == ("success", None)


def test_a_killed_task(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> None:
    """A task that is ended says that it was cancelled, before anybody else can."""
    mailchimp.change(batch_pending=3600.0)
    export = one_task(segments=write_segments(tmp_path, PEOPLE)).task_dict["export"]
    pushed: list[Any] = []
    context = context_of(export)
    context["ti"] = SimpleNamespace(
        **vars(context["ti"]), xcom_push=lambda key, value: pushed.append((key, value))
    )
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(export.execute, context)
        wait_until(
            lambda: mailchimp.stats()["requests"].get("GET /batches/{batch_id}"), "a look at the batch"
        )
        export.on_kill()
        with pytest.raises(RuntimeError, match="nothing is sent any more"):
            running.result(timeout=PATIENCE)
    kinds = {(key, value["problem"]["kind"], value["audience"]["name"]) for key, value in pushed}
    assert kinds == {(XCOM_KEY, "cancelled", "Sandbox audience")}


def test_several_runs(mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path) -> None:
    """A report of several runs publishes each, also those after one that has no account."""
    from airflow_mailchimp_export.operators import MailchimpExportReportOperator

    uris = [
        submit(write_segments(tmp_path, {name: [row(f"{name}@brieftaube-post.eu")]}), export_name=name)[
            "run_uri"
        ]
        for name in ("one", "two")
    ]
    wait_until(lambda: len(mailchimp.members()) == 2, "both members")
    with new_dag() as dag:
        MailchimpExportReportOperator(
            task_id="report", run_uri=[uris[0], "nowhere://x/gone", f"{uris[0]}-gone", uris[1]]
        )
    told = [PublishedReport.model_validate(one) for one in xcoms(run_dag(dag))["report", -1, XCOM_KEY]]
    assert [(one.export, one.verdict.value) for one in told] == [
        ("one", "success"),
        ("", "failed"),
        ("one", "failed"),
        ("two", "success"),
    ]


def test_nothing_is_lost_by_an_xcom_that_fails(
    mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be published the export goes well all the same, and says so in its log."""
    from airflow_mailchimp_export.published import fitting

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(fitting, "fitted", lambda report, **_: 1 / 0)
        run = run_dag(one_task(segments=write_segments(tmp_path, PEOPLE)))
    assert states(run) == {"export": "success"}
    assert (("export", -1, XCOM_KEY)) not in xcoms(run)
    assert "could not be published (ZeroDivisionError)" in caplog.text


@pytest.mark.parametrize("broken", [False, True], ids=["kept", "not to be kept"])
def test_how_far_a_run_is(
    broken: bool, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task state store has phase, done and total, at most every five seconds; a store that fails harms nobody."""
    context = pytest.importorskip("airflow.sdk.execution_time.context")
    store = getattr(context, "TaskStateStoreAccessor", None)
    if store is None:
        pytest.skip("Airflow has no task state store before 3.3")
    told: list[Any] = []
    if broken:
        monkeypatch.setattr(store, "set", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)

    def look(context: Any) -> None:
        told.append(context["task_state_store"].get("mailchimp_progress"))

    segments = write_segments(tmp_path, PEOPLE)
    run = run_dag(one_task(segments=segments, delivery="direct", on_success_callback=look))
    assert states(run) == {"export": "success"}
    last = {"phase": "sending", "unit": "members", "done": 50, "total": 50}
    assert told == [None if broken else last]
