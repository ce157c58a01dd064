"""The words of an export as values: what is planned, what is sent, what the result is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

MAX_CHUNK_MEMBERS = 500
"""Most members in one call: https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/"""


class MemberStatus(StrEnum):
    """What a member is to an audience."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    CLEANED = "cleaned"
    PENDING = "pending"
    TRANSACTIONAL = "transactional"
    ARCHIVED = "archived"


class Change(StrEnum):
    """One planned effect on one person."""

    UPSERT = "upsert"
    REMOVE = "leave"  # as plans of release 0.1.0 have it
    RENAME = "rename"


class Disposition(StrEnum):
    """What a run is to do with one person, as it decides before it sends."""

    SEND = "send"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"


class Effect(StrEnum):
    """What happened to one profile: each is counted under its own name in the report."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"
    UNCONFIRMED = "unconfirmed"
    NOT_SENT = "not_sent"
    """The run was stopped before anything was sent."""
    REMOVED = "removed"
    REMOVAL_FAILED = "removal_failed"
    RENAMED = "renamed"
    RENAME_REFUSED = "rename_refused"


class LedgerState(StrEnum):
    """What the ledger remembers a person as."""

    MEMBER = "member"
    UNCONFIRMED = "unconfirmed"
    ARCHIVED = "archived"
    """By this export."""
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"


class Reason(StrEnum):
    """Why a profile was rejected or suppressed."""

    MISSING_ADDRESS = "missing_address"
    INVALID_ADDRESS = "invalid_address"
    FAKE_ADDRESS = "fake_address"
    REQUIRED_FIELD = "required_field"
    INVALID_FIELD = "invalid_field"
    TOO_MANY_SIGNUPS = "too_many_signups"
    REFUSED = "refused"
    UNSUBSCRIBED = "unsubscribed"
    CLEANED = "cleaned"
    PENDING = "pending"
    TRANSACTIONAL = "transactional"
    ARCHIVED = "archived"
    COMPLIANCE = "compliance"
    FORGOTTEN = "forgotten"
    NO_ANSWER = "no_answer"


class Verdict(StrEnum):
    """How a run ended, mildest first."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


class Delivery(StrEnum):
    """How chunks travel: as jobs on Mailchimp's side, or call by call."""

    BATCH = "batch"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class MergeField:
    """An attribute that the audience keeps of each member.

    :param type: Mailchimp's type name: text, number, address, phone, date, url, imageurl, radio,
        dropdown, birthday or zip.
    :param choices: the allowed values of a radio or dropdown field.
    """

    tag: str
    name: str
    type: str
    required: bool = False
    choices: tuple[str, ...] = ()
    phone_format: str = ""
    default_country: str = ""


@dataclass(frozen=True, slots=True)
class FingerprintBasis:
    """What the fingerprints of a ledger depend on, besides a person's values.

    :param shape: stands for what makes a request of values; empty in what release 0.1.0 wrote.
    :param salt: what the fingerprints were made with.
    :param order: the merge tags in the order in which their values were taken.
    :param rules: stands for what is refused before it is sent; when it changes, refused people are tried again.
    """

    shape: str = ""
    salt: str = ""
    order: tuple[str, ...] = ()
    rules: str = ""


class Member(NamedTuple):
    """A person as Mailchimp is to be sent; there are millions of them, so they are tuples.

    :param payload: the member object of the request, as JSON.
    :param was: the status that they were found with while planning; ``None`` where they were not looked up.
    """

    subscriber_hash: str
    email: str
    status: MemberStatus
    payload: bytes
    was: MemberStatus | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A profile that could not be sent or was refused.

    :param words: Mailchimp's own words, where it was Mailchimp who refused.
    """

    reason: Reason
    field: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most :data:`MAX_CHUNK_MEMBERS` members that travel in one request."""

    number: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class RemovalKind:
    """A way in which people are removed: either a tag is taken from them, or the whole person is taken out.

    :param name: as ``on_leave`` selects it, and as a plan's file keeps it.
    :param chunk_size: most people of one request.
    :param state: what the ledger remembers a person as who was taken out; ``None`` where only a tag is taken.
        Nobody is taken out who is in a segment, or keeps a tag of this export.
    :param reason: why the ledger then has them in that state.
    :param only_created: whether only those are taken out whom this export created in the audience and whom no other
        export has; from all others the tags are taken instead.
    """

    name: str
    chunk_size: int
    state: LedgerState | None = None
    reason: Reason | None = None
    only_created: bool = False


@dataclass(frozen=True, slots=True)
class RemovalChunk:
    """People who are removed in the same way.

    :param tag: the tag that they lose; empty for those who are taken out.
    :param emails: at most as many as the kind allows.
    """

    number: int
    kind: RemovalKind
    tag: str
    emails: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Mailchimp answered for one person."""

    email: str
    effect: Effect
    status: str = ""
    reason: Reason | None = None
    field: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A job on Mailchimp's side."""

    id: str
    status: str
    total_operations: int = 0
    finished_operations: int = 0
    errored_operations: int = 0
    response_body_url: str = ""

    @property
    def finished(self) -> bool:
        """Whether Mailchimp says that the job is over."""
        return self.status == "finished"

    @property
    def worked_off(self) -> bool:
        """Whether all operations are done, and only the results are still to be packed."""
        return self.status == "finalizing" and self.finished_operations >= self.total_operations > 0


@dataclass(frozen=True, slots=True)
class Audience:
    """What Mailchimp says of an audience, as far as an export has to know it.

    :param web_id: by which its pages are found.
    """

    id: str
    name: str
    double_optin: bool = False
    member_count: int = 0
    web_id: int = 0
    merge_fields: Mapping[str, MergeField] = field(default_factory=dict)
