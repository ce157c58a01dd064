"""What an export has to know of the audience before it sends anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.calls import PAGE_SIZE, MemberPage
from airflow_mailchimp_export.mailchimp.client import MailchimpClient
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.model import Audience, MemberStatus, MergeField

UNTOUCHABLE = (
    MemberStatus.UNSUBSCRIBED,
    MemberStatus.CLEANED,
    MemberStatus.PENDING,
    MemberStatus.TRANSACTIONAL,
    MemberStatus.ARCHIVED,
)
"""Where members stand who are never sent anything."""

BILLED = (MemberStatus.SUBSCRIBED, MemberStatus.UNSUBSCRIBED, MemberStatus.TRANSACTIONAL)
"""Who counts towards the contract: https://mailchimp.com/help/about-your-contacts/"""

FRESH_FOR = timedelta(seconds=30)
"""For how long what is known of opt-outs is good enough."""

CLOCK_MARGIN = timedelta(minutes=5)
"""How far this machine's clock and Mailchimp's may be apart."""

_READS = 3

Members = list[tuple[str, str]]


def read_audience(client: MailchimpClient, audience_id: str) -> Audience:
    """Return the audience with its merge fields."""
    found = client.send(calls.audience(audience_id))
    merge_fields = client.send(calls.merge_fields(audience_id))
    return replace(found, merge_fields=merge_fields)


def create_merge_fields(
    client: MailchimpClient, audience_id: str, fields: Iterable[MergeField]
) -> tuple[MergeField, ...]:
    """Add merge fields to an audience; return them as Mailchimp made them."""
    return tuple(client.send(calls.create_merge_field(audience_id, field)) for field in fields)


def count_members(client: MailchimpClient, audience_id: str, statuses: Iterable[MemberStatus]) -> int:
    """Return how many members have one of the statuses; unlike the audience's statistics it is not cached."""
    return sum(
        client.send(calls.members(audience_id, status, offset=0, count=1)).total for status in statuses
    )


class OptOuts:
    """Who opted out, or bounced, since a run was planned: sending takes its time, and they must not be sent.

    Looked up at most every :data:`FRESH_FOR` seconds, from any thread.

    :param planned_at: when the standings were read, with a time zone.
    :param now: the time, with a time zone.
    """

    def __init__(
        self,
        client: MailchimpClient,
        audience_id: str,
        *,
        planned_at: datetime,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._audience_id = audience_id
        self._since = (planned_at - CLOCK_MARGIN).isoformat(timespec="seconds")
        self._looked_at = planned_at
        self._now = now
        self._known: dict[str, MemberStatus] = {}
        self._one_at_a_time = threading.Lock()

    def among(self, emails: Iterable[str]) -> dict[str, MemberStatus]:
        """Return which of these people said no meanwhile, and how."""
        with self._one_at_a_time:
            if self._now() - self._looked_at >= FRESH_FOR:
                self._look()
        return {email: self._known[email] for email in emails if email in self._known}

    def _look(self) -> None:
        looked_at = self._now()
        for status in (MemberStatus.UNSUBSCRIBED, MemberStatus.CLEANED):
            for members in read_members(self._client, self._audience_id, status, since=self._since):
                self._known.update({email.strip().lower(): status for _, email in members})
        self._looked_at = looked_at


def read_tags(client: MailchimpClient, audience_id: str) -> dict[str, int]:
    """Return the ids of the audience's tags, by name."""
    return client.send(calls.tags(audience_id))


def read_members(
    client: MailchimpClient, audience_id: str, status: MemberStatus, *, since: str | None = None
) -> Iterator[Members]:
    """Yield the members of a status, page by page; some may come twice.

    :param since: ISO 8601; only those who came to it after that.
    """
    return _read(client, lambda offset: calls.members(audience_id, status, offset=offset, since=since))


def read_tag(client: MailchimpClient, audience_id: str, tag_id: int) -> Iterator[Members]:
    """Yield those who carry a tag, page by page; some may come twice."""
    return _read(client, lambda offset: calls.tag_members(audience_id, tag_id, offset=offset))


def _read(client: MailchimpClient, page_at: Callable[[int], Call[MemberPage]]) -> Iterator[Members]:
    """Read pages side by side.

    People who change while they are read shift the pages, so what was missed is looked for again.
    Who leaves takes their place along, so the largest total counts.
    """
    for _ in range(_READS):
        seen: set[str] = set()
        total = 0
        for page in _pages(client, page_at):
            total = max(total, page.total)
            seen.update(member_id for member_id, _ in page.members)
            yield list(page.members)
        if len(seen) >= total:
            return


def _pages(client: MailchimpClient, page_at: Callable[[int], Call[MemberPage]]) -> Iterator[MemberPage]:
    first = client.send(page_at(0))
    yield first
    offsets = range(PAGE_SIZE, first.total, PAGE_SIZE)
    with ThreadPoolExecutor(client.max_connections) as pool:
        yield from pool.map(lambda offset: client.send(page_at(offset)), offsets)
