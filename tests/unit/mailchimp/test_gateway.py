"""The one door to Mailchimp."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call
from tests.kit.client import Consent
from tests.kit.clock import FakeClock
from tests.kit.http import KEY, ScriptedServer, to_page, to_response
from tests.unit.mailchimp.test_calls import ADA, CALLS, CHUNK, ID, calls

TAKEN = to_response({"new_members": [{"email_address": ADA}]})
UPSERT = calls.upsert(ID, CHUNK)


def send(call: Call[Any], server: ScriptedServer, consent: Consent) -> Any:
    """Send a call as an export does."""
    clock = FakeClock()
    with MailchimpClient(server.url, KEY, clock=clock, sleep=clock.sleep) as client:
        return Gateway(client, consent).send(call)


def consent(permits: int) -> Consent:
    """Consent that is withdrawn after it was asked for so many times."""
    return Consent(ConfigError("data_privacy_consent is off"), permits)


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.carries_people])
def test_nobody_is_sent_without_consent(name: str) -> None:
    """Whatever carries people is stopped before its request."""
    with ScriptedServer(TAKEN) as server, pytest.raises(ConfigError, match="is off"):
        send(CALLS[name], server, consent(0))
    assert server.received == []


def test_what_carries_nobody_needs_no_consent() -> None:
    """Reading an audience and calling a batch off are not asked for: they have to work without consent."""
    off = consent(0)
    with ScriptedServer(to_response({"id": ID})) as server:
        assert send(calls.audience(ID), server, off).id == ID
        assert send(calls.cancel_batch("5f0c2b1a3d"), server, off) is None
    assert (len(server.received), off.asked) == (2, 0)


def test_consent_is_asked_for_before_each_attempt() -> None:
    """A call that is repeated sends people again, so it asks again, and each time before the request."""
    given = consent(3)
    with ScriptedServer(to_page(500), to_page(502), TAKEN) as server:
        assert [outcome.email for outcome in send(UPSERT, server, given)] == [ADA]
    assert (len(server.received), given.asked) == (3, 3)


def test_consent_that_is_withdrawn_between_attempts() -> None:
    """Once consent is withdrawn a call that Mailchimp did not take is not repeated."""
    with ScriptedServer(to_page(500)) as server, pytest.raises(ConfigError, match="is off"):
        send(UPSERT, server, consent(1))
    assert len(server.received) == 1


def test_a_slot_is_given_back_without_consent() -> None:
    """A call that was stopped leaves its connection to the next one."""
    clock = FakeClock()
    with (
        ScriptedServer(TAKEN) as server,
        MailchimpClient(server.url, KEY, max_connections=1, clock=clock, sleep=clock.sleep) as client,
    ):
        gateway = Gateway(client, consent(0))
        with pytest.raises(ConfigError):
            gateway.send(UPSERT)
        assert gateway.send(calls.cancel_batch("5f0c2b1a3d")) is None
        assert gateway.max_connections == 1
