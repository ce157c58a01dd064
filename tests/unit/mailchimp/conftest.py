"""Both clients behind one face, so that the same answers can be put to either."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, TypeVar

import pytest

from airflow_mailchimp_export.mailchimp.async_client import AsyncMailchimpClient
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.protocol import Call
from tests.kit.http import KEY, FakeClock

T = TypeVar("T")


class Carrier(Protocol):
    """A client that lives for the time of some calls."""

    def __call__(self, *calls: Call[T], url: str, clock: FakeClock, **options: Any) -> T:
        """Carry the calls one after the other; return what the last one gave."""


def blocking(*calls: Call[T], url: str, clock: FakeClock, **options: Any) -> T:
    """The client of the workers."""
    with MailchimpClient(url, options.pop("token", KEY), clock=clock, sleep=clock.sleep, **options) as client:
        return [client.send(call) for call in calls][-1]


def asynchronous(*calls: Call[T], url: str, clock: FakeClock, **options: Any) -> T:
    """The client of the trigger."""

    async def carry() -> T:
        token = options.pop("token", KEY)
        async with AsyncMailchimpClient(url, token, sleep=clock.async_sleep, **options) as client:
            return [await client.send(call) for call in calls][-1]

    return asyncio.run(carry())


@pytest.fixture(params=[blocking, asynchronous])
def carry(request: pytest.FixtureRequest) -> Carrier:
    """Either client."""
    carrier: Carrier = request.param
    return carrier
