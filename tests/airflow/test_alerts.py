"""People are told of what goes wrong, by Airflow's notifiers, with counts and links and never an address."""

from __future__ import annotations

import asyncio
import email
import json
import re
from email import policy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.airflow.notifiers import Remembering, mailbox, webhook
from tests.airflow.releases import lacks, read_back
from tests.airflow.runs import states

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import DAG

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]+")
REMEMBER, FAIL = "tests.airflow.notifiers.Remembering", "tests.airflow.notifiers.Failing"
SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
HTTP = "airflow.providers.http.notifications.http.HttpNotifier"
GOOD = [f"p{number:02}@brieftaube-post.eu" for number in range(20)]


@pytest.fixture(autouse=True)
def told() -> list[str]:
    """What was told, in order."""
    Remembering.told.clear()
    return Remembering.told


@pytest.fixture
def dag_of(tmp_path: Path) -> Callable[..., DAG]:
    """Build the DAG of an export of these addresses, with these alerts."""
    from airflow_mailchimp_export.config.models import Configuration
    from airflow_mailchimp_export.dags import export_dag

    def build(emails: list[str], *alerts: dict[str, Any], **keys: Any) -> DAG:
        pq.write_table(pa.table({"email": emails}), tmp_path / "vip.parquet")
        entry = {"email": "email", "segments": ["vip"], "delivery": "direct", "schedule": "by_hand", **keys}
        configuration = Configuration.model_validate(
            {
                "profiles": "profiles.parquet",
                "snapshots": str(tmp_path),
                "segments": {"vip": {"name": "VIP", "uri": str(tmp_path / "vip.parquet")}},
                "exports": {f"alerts_{tmp_path.name[-80:]}": {**entry, "alerts": list(alerts)}},
            }
        )
        return export_dag(configuration, *configuration.exports, refresh=False)

    return build


def test_a_failed_run_is_told(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, told: list[str]
) -> None:
    """Once, with the error, the counts as far as there are any, and the links to run and log."""
    dag = dag_of([*GOOD[:5], *(["wrong"] * 15)], {"on": "failed", "notifier": REMEMBER})
    run = run_dag(dag)
    assert states(run)["export"] == "failed"
    (text,) = told
    assert text.startswith(
        f"Mailchimp export {dag.dag_id} failed in task export\nError: 15 of 20 profiles cannot be sent"
    )
    assert "verdict failed" in text
    assert "rejected 15" in text
    assert f"/dags/{dag.dag_id}/runs/" in text
    assert not ADDRESS.search(text)


def test_a_run_that_cannot_begin_is_told_once(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, told: list[str]
) -> None:
    """A run without a report fails in one task, and that is told once, with what is known."""
    dag = dag_of(GOOD, {"on": ["failed", "partial"], "notifier": REMEMBER}, audience_id="ffffffffff")
    run_dag(dag)
    assert len(told) == 1
    assert "failed in task export" in told[0]


def test_a_partial_run_is_told_above_a_ratio(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, told: list[str]
) -> None:
    """One of twenty is more than 1 %, and no more than 5 %."""
    alerts = [
        {
            "on": "partial",
            "notifier": REMEMBER,
            "partial_above": above,
            "arguments": {"message": f"{above}: {subject}"},
        }
        for above in (0.01, 0.05)
        for subject in ("{{ mailchimp_alert.subject }} ({{ mailchimp_alert.counts.rejected }})",)
    ]
    dag = dag_of([*GOOD[:19], "wrong"], *alerts)
    assert run_dag(dag).state == "success"
    assert told == [
        f"0.01: Mailchimp export {dag.dag_id} is partial: 1 of 20 people did not come out right (1)"
    ]


def test_new_rejects_are_told_above_a_number(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, told: list[str]
) -> None:
    """Rejects that are known from an earlier run are no news."""
    alert = {"on": ["rejects"], "notifier": REMEMBER, "rejects_above": 1}
    dag = dag_of([*GOOD, "wrong", "wrong too"], alert)
    run_dag(dag)
    assert len(told) == 1
    assert told[0].splitlines()[:2] == [
        f"Mailchimp export {dag.dag_id} has 2 new rejects",
        "All rejects by reason: invalid_address 2",
    ]
    run_dag(dag)
    assert len(told) == 1


def test_dry_runs_and_good_runs_tell_nobody(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, told: list[str]
) -> None:
    """Who makes a dry run by hand sees for themselves what comes of it."""
    alert = {"on": ["failed", "partial", "rejects"], "notifier": REMEMBER}
    run_dag(dag_of([*GOOD, "wrong"], alert), {"dry_run": True})
    run_dag(dag_of(GOOD, alert))
    assert told == []


def test_an_alert_that_cannot_be_sent_changes_nothing(
    dag_of: Callable[..., DAG],
    run_dag: RunDag,
    mailchimp: Sandbox,
    told: list[str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The run is as it is, the other alerts are sent, and the log says what to do, without an address."""
    dag = dag_of(
        [*GOOD, "wrong"],
        {"on": "partial", "notifier": FAIL},
        {"on": "partial", "notifier": "nowhere.Notifier"},
        {"on": "partial", "notifier": REMEMBER},
    )
    run = run_dag(dag)
    assert run.state == "success"
    assert len(told) == 1
    said = " ".join((caplog.text + "".join(capfd.readouterr())).split())
    assert f"of {dag.dag_id} was not sent by {FAIL}: ConnectionError: <address> is not reached" in said
    assert "was not sent by nowhere.Notifier: ModuleNotFoundError" in said
    assert "correct the alert in exports.yaml, its connection, or what receives it" in said


def test_by_e_mail(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own notifier needs nothing but a recipient: subject and text are there by default."""
    with mailbox() as (port, mails):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@company.example"}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        dag = dag_of(
            [*GOOD, "wrong"], {"on": "partial", "notifier": SMTP, "arguments": {"to": "crm@company.example"}}
        )
        run_dag(dag)
    (mail,) = [email.message_from_string(one, policy=policy.default) for one in mails]
    assert mail["To"] == "crm@company.example"
    assert "is partial: 1 of 21 people" in mail["Subject"].replace("\n", "")
    body = mail.get_body(("html",)).get_content()
    assert "created 20" in body
    assert f"/dags/{dag.dag_id}/runs/" in body
    assert not ADDRESS.search(body)


def test_by_a_webhook(
    dag_of: Callable[..., DAG], run_dag: RunDag, mailchimp: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's notifier for HTTP posts the alert as JSON."""
    pytest.importorskip(HTTP.rpartition(".")[0], reason="the provider of HTTP is older than its notifier")
    with webhook() as (port, bodies):
        monkeypatch.setenv("AIRFLOW_CONN_HTTP_DEFAULT", f"http://127.0.0.1:{port}")
        dag = dag_of(
            [*GOOD, "wrong"], {"on": "partial", "notifier": HTTP, "arguments": {"endpoint": "alerts"}}
        )
        run_dag(dag)
    (body,) = bodies
    assert (body["event"], body["export"]) == ("partial", dag.dag_id)
    assert "rejected 1" in body["text"]


@lacks("several deadlines of a run", before=(3, 2))
def test_a_late_run_is_told(dag_of: Callable[..., DAG], told: list[str]) -> None:
    """The deadline counts from when the run was queued, and calls what sends the alert, but not of a dry run."""
    from airflow.sdk.definitions.deadline import DeadlineReference

    alert = {"on": "late", "notifier": REMEMBER, "late_after": 1.5}
    dag = dag_of(GOOD, alert, {"on": ["late", "failed"], "notifier": REMEMBER, "late_after": 3})
    deadlines = dag.deadline
    assert [deadline.interval.total_seconds() for deadline in deadlines] == [5400, 10_800]
    assert {deadline.reference for deadline in deadlines} == {DeadlineReference.DAGRUN_QUEUED_AT}
    assert read_back(dag)
    callback = deadlines[0].callback
    context = {"dag_run": {"dag_id": dag.dag_id, "dag_run_id": "manual__1"}, "deadline": {}}
    from airflow.sdk.module_loading import import_string

    tell = partial(import_string(callback.path), **json.loads(json.dumps(callback.kwargs)))
    asyncio.run(tell(context={"dag_run": {**context["dag_run"], "conf": {"dry_run": True}}}))
    assert told == []
    asyncio.run(tell(context={"dag_run": {**context["dag_run"], "conf": None}}))
    assert told[0].splitlines()[:2] == [
        f"Mailchimp export {dag.dag_id} is late: a run is not over 1.5 hours after it was queued",
        "Run: manual__1",
    ]
    assert f"/dags/{dag.dag_id}/runs/manual__1" in told[0]


def test_a_question_is_told(
    dag_of: Callable[..., DAG],
    run_dag: RunDag,
    mailchimp: Sandbox,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has to say yes hears of it, with the counts of the preview."""

    from airflow.providers.common.compat.sdk import AirflowFailException

    def no_answer(*_: Any) -> None:
        raise AirflowFailException("Nobody answers here")

    monkeypatch.setattr("airflow.providers.standard.operators.hitl.HITLOperator.execute", no_answer)
    dag = dag_of(GOOD, {"on": "approval", "notifier": REMEMBER}, approval="always")
    run_dag(dag)
    (text,) = told
    assert text.splitlines()[:2] == [
        f"Mailchimp export {dag.dag_id} waits for a yes",
        "It would be: rows_read 20, created 20",
    ]
    assert not ADDRESS.search(text)
