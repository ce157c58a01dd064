"""The one door to Mailchimp: everything that an export sends goes through it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import IO, TypeVar

from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.protocol import Call

T = TypeVar("T")


class Gateway:
    """Sends the calls of an export; those that carry people only with consent.

    :param permit: asked right before each attempt of a call that carries people; raises :class:`ConfigError`
        once consent is withdrawn.
    :param sleep: waits that many seconds.
    :param now: the time, with a time zone.
    :ivar has_carried_people: whether a call that carries people was let through so far.
    """

    def __init__(
        self,
        client: MailchimpClient,
        permit: Callable[[], None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.permit = permit
        self.sleep = sleep
        self.now = now
        self.has_carried_people = False
        self._client = client

    @property
    def max_connections(self) -> int:
        """Most requests in flight."""
        return self._client.max_connections

    @property
    def server_time(self) -> datetime | None:
        """What Mailchimp's clock said in its latest answer; ``None`` where none has said so."""
        return self._client.server_time

    def send(self, call: Call[T]) -> T:
        """Carry one call.

        :raises ConfigError: when it carries people and consent is withdrawn; it is not sent any more.
        :raises MailchimpError: when Mailchimp refuses or is out of reach.
        """
        return self._client.send(call, permit=self._let_through if call.carries_people else None)

    def _let_through(self) -> None:
        self.permit()
        self.has_carried_people = True

    def download(self, url: str) -> AbstractContextManager[IO[bytes]]:
        """Open the results of a batch as a stream."""
        return self._client.download(url)
