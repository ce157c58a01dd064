"""The limit of simultaneous connections per user."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.choices import OverLimit
from airflow_mailchimp_export.sandbox.dispatch import Reply, problem_reply
from airflow_mailchimp_export.sandbox.faults import DENIED_PAGE
from airflow_mailchimp_export.sandbox.problems import TOO_MANY

HTML = "text/html"

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
        kind = self._account.settings.over_limit
        if kind is OverLimit.JSON_429:
            return self.too_many()
        status = int(kind.value[:3])
        page = DENIED_PAGE if kind.value.endswith("html") else b""
        headers = self._retry_after() if status == 429 else {}
        return Reply(status, page, HTML, headers)

    def too_many(self) -> Reply:
        """The documented answer."""
        limit = self._account.settings.max_connections
        reply = problem_reply(self._account, TOO_MANY.saying(TOO_MANY.detail.format(limit=limit)))
        return Reply(reply.status, reply.body, reply.content_type, {**reply.headers, **self._retry_after()})

    def _retry_after(self) -> Mapping[str, str]:
        seconds = self._account.settings.retry_after
        return {"Retry-After": str(seconds)} if seconds else {}

    def _flush(self) -> None:
        for hang_up in self._lines.values():
            hang_up()
