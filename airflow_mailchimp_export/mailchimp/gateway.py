"""The way to Mailchimp, as an export uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_mailchimp_export.mailchimp.client import MailchimpClient


@dataclass(frozen=True, slots=True)
class Gateway:
    """The way to Mailchimp.

    :param permit: called before every submission; raises :class:`ConfigError` once consent is withdrawn.
    :param sleep: waits that many seconds.
    :param now: the time, with a time zone.
    """

    client: MailchimpClient
    permit: Callable[[], None]
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
