"""What the client says of the way to the authority, and of the way to the organisation."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from airflow_mailchimp_export.customer_insights.client import DataverseClient, Pace
from airflow_mailchimp_export.customer_insights.protocol import PassingFailure
from airflow_mailchimp_export.settings.insights import InsightsSettings


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that takes no connection."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_an_authority_that_takes_no_connection(nobody: str) -> None:
    """The field that leads to it is named, not the one that leads to the organisation."""
    settings = InsightsSettings.from_parts(
        login="00001111-aaaa-2222-bbbb-3333cccc4444",
        password="its~secret",
        host="https://contoso.crm4.dynamics.com",
        port=None,
        extra={"tenant_id": "contoso.com", "authority": nobody},
    )
    with (
        closing(DataverseClient(settings, pace=Pace(attempts=1))) as client,
        pytest.raises(PassingFailure, match="The request for a token failed on the way") as caught,
    ):
        client.get("WhoAmI", dict, what="WhoAmI")
    assert "check Authority (authority)" in caught.value.remedy
    assert "its~secret" not in str(caught.value)
