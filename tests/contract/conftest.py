"""The sandbox in a process of its own, for exports over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from scripts.sandbox_service import Sandbox
from tests.contract.exports import to_client

QUICK_BATCHES = {"batch_pending": 0.0, "batch_preprocessing": 0.0, "batch_finalizing": 0.0}


@pytest.fixture
def quick(sandbox: Sandbox) -> Sandbox:
    """The sandbox, whose batches do not dawdle."""
    sandbox.change(**QUICK_BATCHES)
    return sandbox


@pytest.fixture
def client(quick: Sandbox) -> Iterator[MailchimpClient]:
    """A client that hardly pauses."""
    with to_client(quick) as client:
        yield client
