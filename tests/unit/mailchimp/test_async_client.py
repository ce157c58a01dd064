"""The async client: what it does not share with the blocking one; the rest is in test_both_clients."""

from __future__ import annotations

import asyncio
import traceback

import aiohttp
import pytest

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.async_client import AsyncMailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import Call, Request
from tests.kit.http import KEY, End, FakeClock, Received, ScriptedServer, Step, Wire, to_page, to_response

PING = calls.ping()
CHIMPY = to_response({"health_status": "Everything's Chimpy!"})


def test_the_event_loop_goes_on() -> None:
    """While one call waits for its answer, and another one pauses, the event loop is free for others."""

    def answer(received: Received) -> Step:
        return to_page(502) if received.target == "/slow" else CHIMPY

    async def race() -> list[str]:
        resumed = asyncio.Event()

        async def until_resumed(seconds: float) -> None:
            await resumed.wait()

        async with AsyncMailchimpClient(
            server.url, KEY, pace=Pace(attempts=2), sleep=until_resumed
        ) as client:
            slow = asyncio.create_task(client.send(Call(Request("GET", "/slow"), PING.read)))
            quick = [await client.send(PING) for _ in range(3)]
            assert not slow.done()
            resumed.set()
            with pytest.raises(RetryableError):
                await slow
            return quick

    with ScriptedServer(script=answer) as server:
        assert asyncio.run(race()) == ["Everything's Chimpy!"] * 3


def test_real_pauses() -> None:
    """Without a sleep of the caller's, pauses are asyncio's."""

    async def send() -> str:
        pace = Pace(first_pause=0.001, timeout_pause=0.001)
        async with AsyncMailchimpClient(server.url, KEY, pace=pace) as client:
            return await client.send(PING)

    with ScriptedServer(to_page(500), to_page(502), CHIMPY) as server:
        assert asyncio.run(send()) == "Everything's Chimpy!"


def test_a_get_whose_connection_breaks() -> None:
    """aiohttp sends a GET once more by itself: a broken connection costs at most two requests an attempt."""
    clock = FakeClock()

    async def send() -> None:
        async with AsyncMailchimpClient(
            server.url, KEY, pace=Pace(attempts=3), sleep=clock.async_sleep
        ) as client:
            await client.send(PING)

    with ScriptedServer(Wire(end=End.RESET)) as server, pytest.raises(RetryableError):
        asyncio.run(send())
    assert len(server.received) <= 6
    assert len(clock.pauses) == 2


def test_cancelling() -> None:
    """A call that is cancelled, as when its trigger is taken away, ends at once and leaves nothing open."""

    async def send() -> None:
        async with AsyncMailchimpClient(server.url, KEY) as client:
            task = asyncio.create_task(client.send(PING))
            while not server.received:
                await asyncio.sleep(0.001)
            task.cancel()
            await task

    with ScriptedServer(Wire(end=End.STALL)) as server, pytest.raises(asyncio.CancelledError):
        asyncio.run(send())


def test_errors_without_a_cause() -> None:
    """The traceback of a broken call quotes neither what aiohttp said nor the key."""

    async def send() -> None:
        async with AsyncMailchimpClient(url, KEY, pace=Pace(attempts=1)) as client:
            await client.send(PING)

    with ScriptedServer(CHIMPY) as server:
        url = server.url
    with pytest.raises(RetryableError) as caught:
        asyncio.run(send())
    told = "".join(traceback.format_exception(caught.value))
    assert "Cannot connect to host" not in told
    assert KEY not in told


def test_the_whole_tree() -> None:
    """Every error of aiohttp's client is below the one that is caught, but for those of WebSockets."""
    names = [name for name in aiohttp.client_exceptions.__all__ if not name.startswith("WS")]
    assert "ServerTimeoutError" in names
    assert all(issubclass(getattr(aiohttp, name), aiohttp.ClientError) for name in names)
