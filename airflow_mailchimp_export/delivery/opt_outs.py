"""Who said no while a run sends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta

from airflow_mailchimp_export.address import normal_address
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.members import read_members
from airflow_mailchimp_export.model import MemberStatus
from airflow_mailchimp_export.rules import OPT_OUTS

FRESH_FOR = timedelta(seconds=30)
"""For how long what is known of opt-outs is good enough."""

CLOCK_MARGIN = timedelta(minutes=5)
"""How far this machine's clock and Mailchimp's may be apart."""


class OptOuts:
    """Who opted out, or bounced, since a run was planned: sending takes its time, and they must not be sent.

    Looked up at most every :data:`FRESH_FOR` seconds, from any thread.

    :param planned_at: when the statuses were read, with a time zone.
    """

    def __init__(self, gateway: Gateway, audience_id: str, *, planned_at: datetime) -> None:
        self._gateway = gateway
        self._audience_id = audience_id
        self._since = (planned_at - CLOCK_MARGIN).isoformat(timespec="seconds")
        self._looked_at = planned_at
        self._known: dict[str, MemberStatus] = {}
        self._one_at_a_time = threading.Lock()

    def among(self, emails: Iterable[str]) -> dict[str, MemberStatus]:
        """Return which of these people said no meanwhile, and how."""
        with self._one_at_a_time:
            if self._gateway.now() - self._looked_at >= FRESH_FOR:
                self._refresh()
        found = {email: self._known.get(normal_address(email)) for email in emails}
        return {email: status for email, status in found.items() if status}

    def _refresh(self) -> None:
        looked_at = self._gateway.now()
        for status in OPT_OUTS:
            for members in read_members(self._gateway, self._audience_id, status, since=self._since):
                self._known.update({normal_address(email): status for _, email in members})
        self._looked_at = looked_at
