"""A key that is replaced while an export is at work, in every task that talks to Mailchimp."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.airflow.people import crowd, write_segments
from tests.airflow.runs import Failures, one_task, report_of, result, states, submit, three_tasks
from tests.kit.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.sandbox_service import Sandbox
    from tests.airflow.conftest import RunDag

CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
LOOKS = "GET /batches/{batch_id}"
SENDS = "POST /lists/{list_id}"
PEOPLE = {"VIP": crowd("vip", 30)}


class KeyHolder:
    """Who rotates the key in Mailchimp, and writes the new one into Airflow's connection."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sandbox = sandbox
        self._monkeypatch = monkeypatch
        self._write(sandbox.key)

    def rotate(self, *, tell: bool = True) -> None:
        """Replace the key; without ``tell`` the connection keeps the old one."""
        new = "f" * 32 + "-us0"
        if tell:
            self._write(new)
        self._sandbox.control("key/rotate", {"key": new})

    @contextmanager
    def rotating(self, *, after: tuple[str, int]) -> Iterator[Future[None]]:
        """Rotate the key once so many calls of an operation were answered; batches that are stuck then go on."""
        with ThreadPoolExecutor(1) as thread:
            yield thread.submit(self._rotate_after, *after)

    def _write(self, key: str) -> None:
        # With one connection a delivery takes many calls one after the other, between which a key can go.
        connection = {**self._sandbox.connection(max_connections=1), "password": key}
        self._monkeypatch.setenv(CONNECTION, json.dumps(connection))

    def _rotate_after(self, operation: str, times: int) -> None:
        wait_until(
            lambda: sum(self._sandbox.stats()["requests"].get(operation, {}).values()) >= times,
            f"{times} answers to {operation}",
        )
        self.rotate()
        self._sandbox.change(batch_stuck=0)


@pytest.fixture
def keys(mailchimp: Sandbox, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> KeyHolder:
    """Who rotates the key."""
    return KeyHolder(mailchimp, monkeypatch)


def refused(sandbox: Sandbox) -> int:
    """Count the calls that were refused for their key."""
    return sum(answers.get("401", 0) for answers in sandbox.stats()["requests"].values())


def test_in_the_middle_of_a_direct_delivery(
    keys: KeyHolder, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """The calls go on with the new key, nobody is lost and nobody is sent twice."""
    mailchimp.change(latency=0.2)
    segments = write_segments(tmp_path, {"Newsletter": crowd("reader", 4_000)})
    with keys.rotating(after=(SENDS, 1)) as rotation:
        run = run_dag(one_task(segments=segments, delivery="direct"))
    rotation.result()
    assert states(run) == {"export": "success"}
    assert refused(mailchimp) > 0
    assert report_of(result(run)["run_uri"])["counts"]["created"] == 4_000
    assert mailchimp.stats()["member_rows"]["handled"] == 4_000


# A sensor that holds a worker is not among them: it reads the connection before each look.
@pytest.mark.parametrize(
    ("wiring", "deferrable"),
    [(one_task, False), (one_task, True), (three_tasks, True)],
    ids=["holding a worker", "deferring", "deferring sensor"],
)
def test_while_waiting_for_batches(
    wiring: Callable[..., Any],
    deferrable: bool,
    keys: KeyHolder,
    mailchimp: Sandbox,
    run_dag: RunDag,
    tmp_path: Path,
) -> None:
    """Operator and trigger go on with the new key, and the report accounts for everybody."""
    mailchimp.change(batch_stuck=-1)
    dag = wiring(segments=write_segments(tmp_path, PEOPLE), deferrable=deferrable)
    with keys.rotating(after=(LOOKS, 2)) as rotation:
        run = run_dag(dag)
    rotation.result()
    assert set(states(run).values()) == {"success"}
    assert refused(mailchimp) > 0
    assert report_of(result(run)["run_uri"])["counts"]["created"] == 30


def test_ending_a_waiting_task_after_it(keys: KeyHolder, mailchimp: Sandbox, tmp_path: Path) -> None:
    """A user who ends the waiting task calls its batches off with the new key."""
    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

    mailchimp.change(batch_pending=3600.0)
    handed_over = submit(write_segments(tmp_path, PEOPLE))
    keys.rotate()
    asyncio.run(MailchimpBatchTrigger(handed_over["batch_ids"], run_uri=handed_over["run_uri"]).on_kill())
    assert mailchimp.stats()["requests"]["DELETE /batches/{batch_id}"] == {"204": 1}


def test_a_connection_with_the_old_key_stays_refused(
    keys: KeyHolder, mailchimp: Sandbox, run_dag: RunDag, tmp_path: Path
) -> None:
    """Where nobody told the connection, the task fails at its first try and says what to do; no key is named."""
    failures = Failures()
    keys.rotate(tell=False)
    dag = one_task(segments=write_segments(tmp_path, PEOPLE), **failures.settings)
    assert states(run_dag(dag)) == {"export": "failed"}
    assert failures.retried == []
    assert "Put a valid API key or OAuth token into the connection" in str(failures[0])
    assert mailchimp.key[:32] not in str(failures[0])
    assert refused(mailchimp) == 1
