"""Who said no while a run sends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from airflow_mailchimp_export.address import normal_address
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.members import read_members
from airflow_mailchimp_export.model import Member, MemberStatus
from airflow_mailchimp_export.rules import HELD_BACK, STATUS_RULES
from airflow_mailchimp_export.state.plan_file import Rename

T = TypeVar("T")

FRESH_FOR = timedelta(seconds=30)
"""For how long what is known of opt-outs is good enough."""

LOOK_AGAIN_AFTER = timedelta(seconds=25)
"""After how long somebody looks again while all others go on: none of them has to wait for it then."""

CLOCK_MARGIN = timedelta(minutes=5)
"""How far this machine's clock and Mailchimp's may be apart."""


class OptOuts:
    """Who came to a status since a run was planned with which nobody may be sent.

    Looked up before anything is sent, and then every :data:`LOOK_AGAIN_AFTER` at most, by one of the threads that ask;
    the others wait for it only where what is known is older than :data:`FRESH_FOR`.

    :param planned_at: when the statuses were read, with a time zone.
    """

    def __init__(self, gateway: Gateway, audience_id: str, *, planned_at: datetime) -> None:
        self._gateway = gateway
        self._audience_id = audience_id
        self._since = (planned_at - CLOCK_MARGIN).isoformat(timespec="seconds")
        self._looked_at: datetime | None = None
        self._known: dict[str, MemberStatus] = {}
        self._planned_for: set[str] = set()
        self._old_addresses: dict[str, str] = {}
        self._looking = threading.Lock()

    def among(self, members: Iterable[Member]) -> dict[str, MemberStatus]:
        """Return which of these people may not be sent any more, and what their status is now.

        Who is sent in, or was planned with, that very status has not changed since.
        """
        opted_out: dict[str, MemberStatus] = {}
        for member, status in self._found(members, lambda member: member.email):
            if status not in (member.status, member.was):
                opted_out[member.email] = status
            else:
                self._planned_for.add(normal_address(member.email))
        return opted_out

    def among_leaving(self, emails: Iterable[str]) -> dict[str, MemberStatus]:
        """Return which of these people, who leave, are not to be touched any more, and what their status is now.

        Who returns in this run, as it was planned, is not among them, nor who has a status that some exports send.
        """
        return {
            email: status
            for email, status in self._found(emails, lambda email: email)
            if not STATUS_RULES[status].sent_under and normal_address(email) not in self._planned_for
        }

    def of_renamed(self, rename: Rename) -> MemberStatus | None:
        """Return the status of somebody whose address may not be changed any more; ``None`` of who did not opt out."""
        self._stay_fresh()
        status = self._known.get(normal_address(rename.old_email))
        return None if status == rename.status else status

    def follow(self, renames: Iterable[Rename]) -> None:
        """Let what is known of the old addresses of people count for the new ones too: a look may be older."""
        self._old_addresses = {
            normal_address(rename.email): normal_address(rename.old_email) for rename in renames
        }

    def _found(self, people: Iterable[T], address: Callable[[T], str]) -> list[tuple[T, MemberStatus]]:
        self._stay_fresh()
        if not self._known:
            return []
        known = ((person, self._status_of(normal_address(address(person)))) for person in people)
        return [(person, status) for person, status in known if status]

    def _status_of(self, email: str) -> MemberStatus | None:
        return self._known.get(email) or self._known.get(self._old_addresses.get(email, ""))

    def _stay_fresh(self) -> None:
        must_wait = self._is_older_than(FRESH_FOR)
        enough = FRESH_FOR if must_wait else LOOK_AGAIN_AFTER
        if self._is_older_than(enough) and self._looking.acquire(blocking=must_wait):
            try:
                if self._is_older_than(enough):
                    self._refresh()
            finally:
                self._looking.release()

    def _is_older_than(self, age: timedelta) -> bool:
        looked_at = self._looked_at
        return looked_at is None or self._gateway.now() - looked_at >= age

    def _refresh(self) -> None:
        looked_at = self._gateway.now()
        for status in HELD_BACK:
            for members in read_members(self._gateway, self._audience_id, status, since=self._since):
                self._known.update({normal_address(email): status for _, email in members})
        self._looked_at = looked_at
