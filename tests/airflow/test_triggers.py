"""The trigger, on an event loop as the triggerer has one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_mailchimp_export.delivery import watch
from tests.airflow.people import crowd, write_segments
from tests.airflow.runs import batches, submit

if TYPE_CHECKING:
    from airflow_mailchimp_export.triggers import MailchimpBatchTrigger
    from scripts.sandbox_service import Sandbox

CONNECTION = "AIRFLOW_CONN_MAILCHIMP_DEFAULT"
PEOPLE = {"VIP": crowd("vip", 30)}
LOOKS, CANCELLATIONS = "GET /batches/{batch_id}", "DELETE /batches/{batch_id}"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first look at a batch be followed by the next at once."""
    monkeypatch.setattr(watch, "FIRST_PAUSE", 0.1)


@pytest.fixture
def batch_ids(mailchimp: Sandbox, airflow_db: None, tmp_path: Path) -> list[str]:
    """Two batches that are worked off in a moment."""
    mailchimp.change(batch_pending=0, batch_preprocessing=0, batch_finalizing=0.2)
    segments = write_segments(tmp_path, PEOPLE)
    return [batch_id for _ in range(2) for batch_id in submit(segments)["batch_ids"]]


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
    from airflow.sdk._shared.module_loading import import_string

    trigger = make_trigger(
        ["a", "b"], mailchimp_conn_id="other", stall_timeout=12.5, run_uri="s3://kept/export/run"
    )
    path, settings = trigger.serialize()
    again = import_string(path)(**json.loads(json.dumps(settings)))
    assert again.serialize() == (path, settings)
    assert type(again) is type(trigger)
    assert vars(again)["batch_ids"] == ["a", "b"]


def test_finished_batches_fire_one_event(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """One event ends the waiting for all batches; it names them and the run."""
    (event,) = events_of(make_trigger(batch_ids, run_uri="kept/run"))
    assert event == {"status": "finished", "batch_ids": batch_ids, "message": "", "run_uri": "kept/run"}
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


@pytest.mark.usefixtures("mailchimp")
def test_forgotten_batches_are_over() -> None:
    """Batches that Mailchimp does not know any more count as over."""
    (event,) = events_of(make_trigger(["0123456789", "9876543210"]))
    assert event["status"] == "finished"


def test_pauses_grow(mailchimp: Sandbox, stuck: list[str]) -> None:
    """While nothing moves, each pause is twice as long as the one before: 0.1, 0.2, 0.4 and 0.8 s."""
    before = looks(mailchimp)
    events_of(make_trigger(stuck[:1], stall_timeout=1.4))
    assert 3 <= looks(mailchimp) - before <= 7


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


def test_event_loop_is_free_while_waiting(mailchimp: Sandbox, batch_ids: list[str]) -> None:
    """Other triggers go on while Mailchimp takes its time to answer."""
    mailchimp.change(latency=0.5)
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            started = asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)
            gaps.append(asyncio.get_running_loop().time() - started)

    async def run() -> None:
        ticking = asyncio.create_task(tick())
        await anext(make_trigger(batch_ids).run())
        ticking.cancel()

    asyncio.run(run())
    assert max(gaps) < 0.4


def test_ending_the_waiting_task_cancels_the_batches(mailchimp: Sandbox, stuck: list[str]) -> None:
    """When a user ends the waiting task, all its batches that are not finished are called off."""
    asyncio.run(make_trigger([*stuck, "0123456789"]).on_kill())
    assert mailchimp.stats()["requests"][CANCELLATIONS] == {"204": 2}


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
