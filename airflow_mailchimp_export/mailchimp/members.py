"""Reading the members of an audience, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.calls import PAGE_SIZE, MemberPage
from airflow_mailchimp_export.mailchimp.protocol import Call, Sender
from airflow_mailchimp_export.model import MemberStatus

_READS = 3

_OVERLAP = 50
"""Members at the end of a page that the next one begins with: so many may leave between the two, and nobody is missed.
Who is missed that way may not show in the totals, where others came meanwhile."""

_WINDOWS = 4
"""Pages for each connection that are asked for before one without anybody ends the reading."""

Members = list[tuple[str, str]]


def count_members(sender: Sender, audience_id: str, statuses: Iterable[MemberStatus]) -> int:
    """Return how many members have one of the statuses; unlike the audience's statistics it is not cached."""
    return sum(
        sender.send(calls.members(audience_id, status, offset=0, count=1)).total for status in statuses
    )


def read_tags(sender: Sender, audience_id: str) -> dict[str, int]:
    """Return the ids of the audience's tags, by name."""
    return sender.send(calls.tags(audience_id))


def read_members(
    sender: Sender, audience_id: str, status: MemberStatus, *, since: str | None = None
) -> Iterator[Members]:
    """Yield the members of a status, page by page; some may come twice.

    :param since: ISO 8601; only those who came to it after that.
    """
    return _members_of(read_pages(sender, audience_id, status, since=since))


def read_pages(
    sender: Sender,
    audience_id: str,
    status: MemberStatus,
    *,
    since: str | None = None,
    changed_since: str | None = None,
    on_gap: Callable[[], None] = lambda: None,
) -> Iterator[MemberPage]:
    """Yield the same as pages, which say how many there are; some may come twice.

    :param changed_since: ISO 8601; only those who changed after that, also of the unsubscribed.
    :param on_gap: called last where no reading met as many as Mailchimp says there are.
    """
    return _read(
        sender,
        lambda offset: calls.members(
            audience_id, status, offset=offset, since=since, changed_since=changed_since
        ),
        on_gap,
    )


def count_pages(members: int) -> int:
    """Return how many requests it takes to read so many."""
    return 1 + len(_further_offsets(members))


def read_tag(sender: Sender, audience_id: str, tag_id: int) -> Iterator[Members]:
    """Yield those who carry a tag, page by page; some may come twice."""
    return _members_of(_read(sender, lambda offset: calls.tag_members(audience_id, tag_id, offset=offset)))


def count_tagged(sender: Sender, audience_id: str, tag_id: int) -> int:
    """Return how many carry a tag."""
    return sender.send(calls.tag_members(audience_id, tag_id, offset=0, count=1)).total


def _members_of(pages: Iterable[MemberPage]) -> Iterator[Members]:
    return (list(page.members) for page in pages)


def _read(
    sender: Sender,
    page_at: Callable[[int], Call[MemberPage]],
    on_gap: Callable[[], None] = lambda: None,
) -> Iterator[MemberPage]:
    """Read pages side by side.

    People who change while they are read shift the pages, so pages overlap, and what was missed even so is looked for
    again. Who leaves takes their place along, so the largest total counts.
    """
    for _ in range(_READS):
        seen: set[str] = set()
        total = 0
        for page in _pages(sender, page_at):
            total = max(total, page.total)
            seen.update(member_id for member_id, _ in page.members)
            yield page
        if len(seen) >= total:
            return
    on_gap()


def _pages(sender: Sender, page_at: Callable[[int], Call[MemberPage]]) -> Iterator[MemberPage]:
    """Yield the pages up to the first one without anybody, whatever total the first one told."""
    first = sender.send(page_at(0))
    yield first
    offsets = iter(_further_offsets(first.total))
    with ThreadPoolExecutor(sender.max_connections) as pool:
        while at_once := list(islice(offsets, _WINDOWS * sender.max_connections)):
            pages = list(pool.map(lambda offset: sender.send(page_at(offset)), at_once))
            yield from pages
            if not all(page.members for page in pages):
                return


def _further_offsets(total: int) -> range:
    return range(PAGE_SIZE - _OVERLAP, total - _OVERLAP, PAGE_SIZE - _OVERLAP)
