"""The limit of simultaneous connections per user."""

from __future__ import annotations

from collections.abc import Callable

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.dispatch import Reply
from airflow_mailchimp_export.sandbox.failures import failure_reply
from airflow_mailchimp_export.sandbox.faults import to_failure

HangUp = Callable[[], None]


class Gate:
    """Counts what is in flight. A call keeps its place until its work ends, also when its caller has gone."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._lines: dict[object, HangUp] = {}

    def enter(self, ticket: object, hang_up: HangUp) -> bool:
        """Take a place, if one is left."""
        if len(self._lines) >= self._account.settings.max_connections:
            if self._account.settings.over_limit_flush:
                self._flush()
            return False
        self._lines[ticket] = hang_up
        self._account.meter.level(len(self._lines))
        return True

    def leave(self, ticket: object) -> None:
        """Give the place back."""
        del self._lines[ticket]
        self._account.meter.level(len(self._lines))

    def over_limit(self) -> Reply:
        """What a call without a place gets."""
        return failure_reply(self._account, to_failure(self._account.settings.over_limit.value))

    def _flush(self) -> None:
        for hang_up in self._lines.values():
            hang_up()
