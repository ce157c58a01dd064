"""A client in whose life things happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp.client import Credentials
from airflow_mailchimp_export.mailchimp.protocol import Request, Response
from tests.kit.mortal import MortalClient
from tests.kit.sandbox import InProcessSandbox


class EventfulClient(MortalClient):
    """A client that may die, before some of whose requests something happens; they go one after the other.

    Its key is read again once it is refused.

    :param events: what happens, by the number of the request that it comes before.
    """

    def __init__(
        self,
        sandbox: InProcessSandbox,
        *,
        dies_at: int | None,
        applied: bool,
        events: Sequence[tuple[int, Callable[[], object]]],
    ) -> None:
        super().__init__(sandbox, dies_at=dies_at, applied=applied)
        if events:
            self.max_connections = 1
        url = self._credentials.base_url
        self._renew = lambda: Credentials(url, sandbox.account.settings.key)
        self._events = list(events)
        self._count = 0

    def _transmit(self, request: Request) -> Response | RetryableError:
        due = [event for number, event in self._events if number == self._count]
        self._count += 1
        for event in due:
            event()
        return super()._transmit(request)
