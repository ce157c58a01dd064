"""The trigger, on an event loop as the triggerer has one."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.delivery import watch
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.state.lock import LOCK
from tests.airflow.people import crowd, write_segments
from tests.airflow.releases import lacks
from tests.airflow.runs import batches, submit, wait_until_stuck
from tests.kit.http import Received, ScriptedServer, Step, to_problem, to_response
from tests.kit.waiting import PATIENCE

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

    from airflow_mailchimp_export.mailchimp.client import MailchimpClient
    from airflow_mailchimp_export.settings.connection import ConnectionSettings
    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger
    from scripts.sandbox_service import Sandbox

CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
PEOPLE = {"VIP": crowd("vip", 30), "Regulars": crowd("regular", 30)}
LOOKS, CANCELLATIONS = "GET /batches/{batch_id}", "DELETE /batches/{batch_id}"


@pytest.fixture
def batch_ids(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> list[str]:
    """Two batches that are worked off in a moment."""
    mailchimp.change(batch_pending=0, batch_preprocessing=0, batch_finalizing=0.2)
    segments = write_segments(tmp_path, PEOPLE)
    return [batch_id for tag, uri in segments.items() for batch_id in submit({tag: uri})["batch_ids"]]


@pytest.fixture
def stuck(mailchimp: Sandbox, request: pytest.FixtureRequest) -> list[str]:
    """Two batches that Mailchimp never finishes."""
    mailchimp.change(batch_stuck=-1)
    never_finished: list[str] = request.getfixturevalue("batch_ids")
    return never_finished


def make_trigger(batch_ids: list[str], **settings: Any) -> MailchimpBatchTrigger:
    """Make a trigger."""
    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger

    return MailchimpBatchTrigger(batch_ids, **settings)


def events_of(trigger: MailchimpBatchTrigger) -> list[dict[str, Any]]:
    """Run a trigger to its end and return all that it says."""

    async def run() -> list[dict[str, Any]]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(run())


def test_trigger_survives_the_way_to_the_triggerer() -> None:
    """What serialize names and returns, as JSON, makes an equal trigger."""
    from airflow.sdk.module_loading import import_string

    trigger = make_trigger(
        ["a", "b"],
        mailchimp_conn_id="other",
        stall_timeout=12.5,
        run_uri="s3://kept/export/run",
        end=1_800_000_000.5,
        record={"moved_at": 1_700_000_000.5, "seen": {"a": ["started", 3, 1, 0]}},
        pause=60.0,
    )
    path, settings = trigger.serialize()
    again = import_string(path)(**json.loads(json.dumps(settings)))
    assert again.serialize() == (path, settings)
    assert type(again) is type(trigger)
    assert vars(again)["batch_ids"] == ["a", "b"]


def test_finished_batches_fire_one_event(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """One event ends the waiting for all batches; it names them and the run."""
    (event,) = events_of(make_trigger(batch_ids, run_uri="kept/run"))
    record = event.pop("record")
    assert event == {
        "status": "finished",
        "batch_ids": batch_ids,
        "message": "",
        "run_uri": "kept/run",
        "stopped": {},
        "called_off": "",
    }
    assert record["seen"] == {batch_id: ["finished", 1, 1, 0] for batch_id in batch_ids}
    assert {batch["status"] for batch in batches(mailchimp)} == {"finished"}


def test_one_unfinished_batch_keeps_the_trigger_waiting(mailchimp: Sandbox, stuck: list[str]) -> None:
    """All batches must be over: one that never ends lets the trigger give up, with a stalled event."""
    (event,) = events_of(make_trigger([*stuck, "0123456789"], stall_timeout=0.7))
    assert event["status"] == "stalled"
    assert event["batch_ids"] == [*stuck, "0123456789"]


def test_first_look_is_not_at_once(
    mailchimp: Sandbox, batch_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger pauses before it looks, because Airflow fails tasks whose triggers fire at once."""
    monkeypatch.setattr(watch, "FIRST_PAUSE", 60)

    async def run() -> None:
        await asyncio.wait_for(anext(make_trigger(batch_ids).run()), timeout=0.5)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert looks(mailchimp) == 0


def test_stopped_batches_are_named(mailchimp: Sandbox, stuck: list[str]) -> None:
    """Batches that are gone or cancelled are over, and the event names them and how they ended."""
    mailchimp.change(batch_stopped_status="canceled")
    mailchimp.control("batches/stop", {})
    (event,) = events_of(make_trigger([*stuck, "0123456789"]))
    assert event["status"] == "finished"
    assert event["stopped"] == {**dict.fromkeys(stuck, "canceled"), "0123456789": "gone"}


def test_the_end_ends_the_wait(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> None:
    """Whatever moves, waiting ends at the moment that was set; nothing is called off by that."""
    mailchimp.change(batch_endless=True)
    moving = submit(write_segments(tmp_path, PEOPLE))["batch_ids"]
    (event,) = events_of(make_trigger(moving, end=time.time() + 0.5))
    assert event["status"] == "timed_out"
    assert CANCELLATIONS not in mailchimp.stats()["requests"]


def test_standing_still_counts_on(mailchimp: Sandbox, stuck: list[str]) -> None:
    """A trigger goes on counting where another one stopped, unless something has moved since."""
    wait_until_stuck(mailchimp)
    (event,) = events_of(make_trigger(stuck, end=time.time() + 0.3))
    record = {**event["record"], "moved_at": time.time() - 600}
    (event,) = events_of(make_trigger(stuck, stall_timeout=600, record=record))
    assert (event["status"], event["record"]) == ("stalled", record)
    moved = {**record, "furthest": {}, "seen": {**record["seen"], stuck[0]: ["pending", 0, 0, 0]}}
    (event,) = events_of(make_trigger(stuck, stall_timeout=600, record=moved, end=time.time() + 0.3))
    assert event["status"] == "timed_out"


@pytest.mark.parametrize("answer", ["unavailable", "error", "reset-before", "throttled"])
def test_an_outage_does_not_end_the_wait(
    answer: str, mailchimp: Sandbox, batch_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Mailchimp is out of reach the trigger asks again and again, and then goes on as before."""
    from airflow_mailchimp_export import hooks

    monkeypatch.setattr(hooks, "PROMPT", Pace(attempts=1))
    mailchimp.control("faults", {"method": "GET", "path": "/batches/*", "answer": answer, "count": 5})
    (event,) = events_of(make_trigger(batch_ids))
    assert event["status"] == "finished"
    assert mailchimp.control("faults")["faults"] == []


def test_an_outage_that_lasts_is_standing_still(
    mailchimp: Sandbox, batch_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mailchimp that stays out of reach for stall_timeout ends the wait as batches do that do not move."""
    from airflow_mailchimp_export import hooks

    monkeypatch.setattr(hooks, "PROMPT", Pace(attempts=1))
    mailchimp.control("faults", {"method": "GET", "path": "/batches/*", "answer": "unavailable", "count": -1})
    (event,) = events_of(make_trigger(batch_ids, stall_timeout=0.5))
    assert event["status"] == "stalled"


@lacks("error of deadlocks", before=(3, 3))
def test_a_deadlock_of_airflow_travels_in_the_event(
    batch_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's DeadlockImminentError is no Exception; it comes as an error event anyway."""
    from airflow.sdk.execution_time.comms import DeadlockImminentError

    from airflow_mailchimp_export import triggers

    async def deadlocked(conn_id: str) -> None:
        raise DeadlockImminentError("GetConnection")

    monkeypatch.setattr(triggers, "get_async_connection", deadlocked)
    (event,) = events_of(make_trigger(batch_ids, run_uri="kept/run"))
    assert (event["status"], event["message"]) == ("error", "DeadlockImminentError")
    assert (event["batch_ids"], event["run_uri"]) == (batch_ids, "kept/run")


def test_pauses_grow(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing moves, each pause is twice as long as the one before; what moves makes it short again."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    still, moved, over = (
        to_response({"id": "0123456789", "status": status, "finished_operations": done})
        for status, done in (("started", 0), ("started", 1), ("finished", 1))
    )
    with ScriptedServer(*[still] * 4, moved, moved, over) as server:
        monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "host": server.url}))
        (event,) = events_of(make_trigger(["0123456789"]))
    assert event["status"] == "finished"
    first = watch.FIRST_PAUSE
    assert [pause / first for pause in pauses] == [1, 1, 2, 4, 8, 1, 2]


@pytest.mark.parametrize("ending", ["finished", "stalled", "error", "cancelled"])
def test_the_client_is_closed_in_the_end(
    ending: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the waiting ends, its one client is closed, so that nothing more is sent by it."""
    from airflow_mailchimp_export import triggers

    clients: list[MailchimpClient] = []
    make_client = triggers.to_prompt_client

    def noted(settings: ConnectionSettings, **options: Any) -> MailchimpClient:
        clients.append(make_client(settings, **options))
        return clients[-1]

    async def run() -> TriggerEvent | None:
        waiting = asyncio.create_task(anext(trigger.run()))
        if ending == "cancelled":
            while not server.received:
                await asyncio.sleep(0.001)
            waiting.cancel()
        (event,) = await asyncio.gather(waiting, return_exceptions=True)
        return event if isinstance(event, TriggerEvent) else None

    from airflow.triggers.base import TriggerEvent

    batch = {"id": "0123456789", "status": "finished" if ending == "finished" else "started"}
    answer = to_problem(401) if ending == "error" else to_response(batch)
    monkeypatch.setattr(triggers, "to_prompt_client", noted)
    trigger = make_trigger(["0123456789"], stall_timeout=600 if ending == "cancelled" else 0)
    with ScriptedServer(answer) as server:
        monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "host": server.url}))
        event = asyncio.run(run())
    assert (event.payload["status"] if event else "cancelled") == ending
    (client,) = clients
    with pytest.raises(RuntimeError, match="is closed"):
        client.send(calls.batch("0123456789"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"password": f"{'a' * 32}-us0"}, "401"),
        ({"password": ""}, "password"),
        ({"host": "https://mistyped.example.net"}, "allow_custom_host"),
        ({"extra": {"timeout": "soon"}}, "timeout"),
        ({"extra": {"auth_method": "oauth2"}, "password": "b" * 32}, "401"),
    ],
)
def test_errors_travel_in_the_event(
    changed: dict[str, Any], words: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with the connection comes as an error event that says so, without the key."""
    connection = {**sandbox.connection(), **changed}
    monkeypatch.setenv(CONNECTION, json.dumps(connection))
    (event,) = events_of(make_trigger(["0123456789"]))
    assert event["status"] == "error"
    assert event["batch_ids"] == ["0123456789"]
    assert words in event["message"]
    assert not connection["password"] or connection["password"][:32] not in event["message"]


def test_unforeseen_errors_travel_in_the_event(airflow_db: None) -> None:
    """A connection that does not exist, too, ends in an event: an exception would be lost."""
    (event,) = events_of(make_trigger(["0123456789"], mailchimp_conn_id="nowhere"))
    assert event["status"] == "error"
    assert event["message"]


def test_connection_is_looked_up_without_blocking(
    batch_ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the event loop the blocking look-up of the connection is never used."""
    from airflow.sdk import BaseHook

    def blocked(conn_id: str) -> None:
        raise AssertionError(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(blocked))
    (event,) = events_of(make_trigger(batch_ids))
    assert event["status"] == "finished"


def test_event_loop_is_free_while_waiting(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other triggers go on while Mailchimp takes its time: its answer here waits for what one of them does."""
    asked, answered = threading.Event(), threading.Event()

    def held(received: Received) -> Step:
        asked.set()
        assert answered.wait(PATIENCE)
        return to_response({"id": "0123456789", "status": "finished"})

    async def other_trigger() -> None:
        while not asked.is_set():
            await asyncio.sleep(0.001)
        answered.set()

    async def run() -> TriggerEvent:
        event, _ = await asyncio.gather(anext(make_trigger(["0123456789"]).run()), other_trigger())
        return event

    with ScriptedServer(script=held) as server:
        monkeypatch.setenv(CONNECTION, json.dumps({**sandbox.connection(), "host": server.url}))
        event = asyncio.run(run())
    assert event.payload["status"] == "finished"
    assert len(server.received) == 1


def test_ending_the_waiting_task_cancels_the_batches(
    mailchimp: Sandbox, airflow_db: None, tmp_path: Path
) -> None:
    """When a user ends the waiting task, all its batches that have yet to do something are called off."""
    mailchimp.change(batch_pending=3600.0)
    segments = write_segments(tmp_path, PEOPLE)
    not_begun = [batch_id for tag, uri in segments.items() for batch_id in submit({tag: uri})["batch_ids"]]
    asyncio.run(make_trigger([*not_begun, "0123456789"]).on_kill())
    assert mailchimp.stats()["requests"][CANCELLATIONS] == {"204": 2}


@pytest.mark.parametrize("reachable", [True, False])
def test_ending_the_waiting_task_frees_the_export(
    reachable: bool, mailchimp: Sandbox, airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the waiting task the lock of its export ends at once, even where the batches cannot be called off."""
    mailchimp.change(batch_stuck=-1)
    handed_over = submit(write_segments(tmp_path, PEOPLE), exports_root=str(tmp_path / "kept"))
    lock = Path(handed_over["run_uri"]).parent / LOCK
    assert lock.exists()
    if not reachable:
        monkeypatch.setenv(CONNECTION, json.dumps({**mailchimp.connection(), "password": ""}))
    trigger = make_trigger(handed_over["batch_ids"], run_uri=handed_over["run_uri"])
    with nullcontext() if reachable else pytest.raises(ConfigError, match="password"):
        asyncio.run(trigger.on_kill())
    assert not lock.exists()


def test_a_restart_of_the_triggerer_keeps_the_export(
    mailchimp: Sandbox, airflow_db: None, tmp_path: Path
) -> None:
    """Cleaning up frees nothing and calls nothing off: another triggerer goes on."""
    mailchimp.change(batch_stuck=-1)
    handed_over = submit(write_segments(tmp_path, PEOPLE), exports_root=str(tmp_path / "kept"))
    asyncio.run(make_trigger(handed_over["batch_ids"], run_uri=handed_over["run_uri"]).cleanup())
    assert (Path(handed_over["run_uri"]).parent / LOCK).exists()
    assert CANCELLATIONS not in mailchimp.stats()["requests"]


def test_cancelling_the_trigger_leaves_the_batches(mailchimp: Sandbox, stuck: list[str]) -> None:
    """A triggerer that is restarted cancels its triggers; what Mailchimp does goes on."""
    trigger = make_trigger(stuck)

    async def run() -> None:
        waiting = asyncio.create_task(anext(trigger.run()))
        await asyncio.sleep(0.3)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await trigger.cleanup()

    asyncio.run(run())
    assert CANCELLATIONS not in mailchimp.stats()["requests"]
    assert len(batches(mailchimp)) == 2


def looks(sandbox: Sandbox) -> int:
    """Count how often Mailchimp was asked for a batch."""
    return sum(sandbox.stats()["requests"].get(LOOKS, {}).values())
