"""What a Mailchimp account holds: audiences with their members, tags and merge fields. No HTTP here."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from airflow_mailchimp_export.sandbox.columns import ABSENT, Column, Status
from airflow_mailchimp_export.sandbox.merge_fields import MergeField, MergePlan, Value, starting_fields
from airflow_mailchimp_export.sandbox.tags import Tag, TagNames

RECENT = 12
MATCHES_KEPT = 8

NO_TAGS: Mapping[int, int] = {}
NO_EXTRAS: Mapping[str, Any] = {}


def digest_of(email: str) -> bytes:
    """The key of a member: md5 of the address, trimmed and in lower case."""
    return md5(email.strip().lower().encode(), usedforsecurity=False).digest()


@dataclass(slots=True, eq=False)
class Member:
    """A person in an audience; kept small, because there may be millions."""

    seq: int
    email: str
    digest: bytes
    status: Status
    values: tuple[Value, ...]
    tags: Mapping[int, int]
    """Tag id and when it was added; shared between members, so it is replaced and never changed."""
    changed: int
    opted: int
    extras: Mapping[str, Any] = field(default_factory=lambda: NO_EXTRAS)
    """What is seldom set: language, vip, location, interests and the like; replaced, never changed."""
    compliance: bool = False
    """The person (or Mailchimp) said no: only they can come back."""
    left: int = 0
    """When the member was unsubscribed last."""


@dataclass(slots=True, eq=False)
class InterestCategory:
    """A group title with its group names."""

    category_id: str
    title: str
    type: str
    display_order: int = 0
    interests: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Audience:
    """One list with everything that belongs to it."""

    audience_id: str
    name: str
    created: int
    folds_case: Callable[[], bool]
    """Whether names of tags are the same in upper and lower case."""
    double_optin: bool = False
    fields: list[MergeField] = field(default_factory=starting_fields)
    next_merge_id: int = 6
    members: list[Member] = field(default_factory=list)
    by_digest: dict[bytes, Member] = field(default_factory=dict)
    statuses: Column = field(default_factory=Column)
    tags: dict[int, Tag] = field(default_factory=dict)
    next_tag_id: int = 1001
    categories: dict[str, InterestCategory] = field(default_factory=dict)
    forgotten: set[bytes] = field(default_factory=set)
    crowded: dict[bytes, int] = field(default_factory=dict)
    """Addresses that signed up to a lot of lists lately, and how often they are still refused."""
    recent: deque[Member] = field(default_factory=lambda: deque(maxlen=RECENT))
    last_sub: int = 0
    last_unsub: int = 0
    version: int = 0
    matches: OrderedDict[Any, tuple[int, list[int]]] = field(default_factory=OrderedDict)
    """Remembered filters: while nothing changes, the next page of a filter needs no new scan."""
    cached_stats: tuple[float, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        """Make the merge plan and the names of tags ready."""
        self.plan = MergePlan(self.fields)
        self.tag_names = TagNames(self.tags, self.folds_case)

    @property
    def interest_ids(self) -> list[str]:
        """The ids of all group names."""
        return [interest_id for category in self.categories.values() for interest_id in category.interests]

    def replan(self) -> None:
        """The merge fields have changed."""
        self.plan = MergePlan(self.fields)
        self.version += 1

    def newcomer(self, email: str, now: int) -> Member:
        """A subscribed person, of whom nothing but the address is known; not on the list yet."""
        return Member(
            seq=len(self.members),
            email=email,
            digest=digest_of(email),
            status=Status.SUBSCRIBED,
            values=self.plan.blank,
            tags=NO_TAGS,
            changed=now,
            opted=now,
        )

    def add(self, member: Member) -> None:
        """Put a new person at the end."""
        if member.status is Status.UNSUBSCRIBED:
            member.left = member.changed
        self.members.append(member)
        self.by_digest[member.digest] = member
        self._place(member, member.status)
        self._note(member)

    def set_status(self, member: Member, status: Status, now: int) -> None:
        """Change a status wherever it is counted; this is a change of the member, whatever it was before."""
        if status is Status.UNSUBSCRIBED and member.status is not status:
            member.left = now
        member.status, member.changed = status, now
        self._place(member, status)
        self._note(member)

    def set_tags(self, member: Member, tags: Mapping[int, int]) -> None:
        """Replace a member's tags."""
        for tag_id in member.tags:
            if tag_id not in tags:
                self.tags[tag_id].members.put(member.seq, ABSENT)
        for tag_id in tags:
            if tag_id not in member.tags:
                self.tags[tag_id].members.put(member.seq, member.status)
        member.tags = tags
        self.version += 1

    def rename(self, member: Member, email: str, now: int) -> None:
        """Give a member another address, under which it is found from now on; all else stays."""
        del self.by_digest[member.digest]
        member.email, member.digest, member.changed = email, digest_of(email), now
        self.by_digest[member.digest] = member
        self.version += 1

    def forget(self, member: Member) -> None:
        """Erase a person for good."""
        self.set_tags(member, NO_TAGS)
        self.statuses.put(member.seq, ABSENT)
        del self.by_digest[member.digest]
        self.forgotten.add(member.digest)
        member.email, member.values, member.extras = "", (), NO_EXTRAS
        self.version += 1

    def tag_named(self, name: str, now: int) -> Tag:
        """The tag of this name, made if it does not exist; a saved segment of the same name is no tag."""
        return self.tag_names.find(name) or self.add_tag(name, now)

    def add_tag(self, name: str, now: int, conditions: Mapping[str, Any] | None = None) -> Tag:
        """Make a tag or a saved segment."""
        spelled = self.tag_names.spelled(name)
        tag = Tag(self.next_tag_id, spelled, created=now, updated=now, conditions=conditions)
        self.next_tag_id += 1
        self.tags[tag.tag_id] = tag
        self.tag_names.add(tag)
        return tag

    def rename_tag(self, tag: Tag, name: str, now: int) -> None:
        """Give a tag another name; its id and its members stay."""
        tag.name, tag.updated = self.tag_names.spelled(name), now
        self.tag_names.forget()

    def drop_tag(self, tag: Tag) -> None:
        """Delete a tag; its members stay in the audience."""
        for seq in tag.members.select(frozenset(Status)):
            member = self.members[seq]
            member.tags = {tag_id: added for tag_id, added in member.tags.items() if tag_id != tag.tag_id}
        del self.tags[tag.tag_id]
        self.tag_names.forget()
        self.version += 1

    def _place(self, member: Member, code: int) -> None:
        self.statuses.put(member.seq, code)
        for tag_id in member.tags:
            self.tags[tag_id].members.put(member.seq, code)

    def _note(self, member: Member) -> None:
        self.version += 1
        self.recent.append(member)
        if member.status is Status.SUBSCRIBED:
            self.last_sub = member.changed
        elif member.status is Status.UNSUBSCRIBED:
            self.last_unsub = member.changed
