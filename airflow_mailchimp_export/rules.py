"""The rules of an export, each in one table: Python reads them here, and SQL joins them.

Every database of a run holds them under the names of :func:`as_tables`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow_mailchimp_export.model import (
    MAX_CHUNK_MEMBERS,
    Effect,
    LedgerState,
    MemberStatus,
    Reason,
    RemovalKind,
)

NEW_MEMBER_STATUSES = (MemberStatus.SUBSCRIBED, MemberStatus.PENDING, MemberStatus.TRANSACTIONAL)
"""What ``new_member_status`` may be."""


@dataclass(frozen=True, slots=True)
class StatusRule:
    """What the status of a member means for an export.

    :param sent_under: the values of ``new_member_status`` under which such a member is sent.
    :param billed: whether they count towards the contract: https://mailchimp.com/help/about-your-contacts/
    :param carries_over: whether somebody with this status is not sent under a changed address either.
    """

    sent_under: Sequence[MemberStatus] = ()
    billed: bool = False
    carries_over: bool = False


STATUS_RULES: Mapping[MemberStatus, StatusRule] = {
    MemberStatus.SUBSCRIBED: StatusRule(sent_under=NEW_MEMBER_STATUSES, billed=True),
    MemberStatus.UNSUBSCRIBED: StatusRule(billed=True, carries_over=True),
    # Mail to the old address bounced; that says nothing of the new one.
    MemberStatus.CLEANED: StatusRule(),
    # Sent again, they would be asked for their consent by every run.
    MemberStatus.PENDING: StatusRule(carries_over=True),
    MemberStatus.TRANSACTIONAL: StatusRule(
        sent_under=(MemberStatus.TRANSACTIONAL,), billed=True, carries_over=True
    ),
    MemberStatus.ARCHIVED: StatusRule(carries_over=True),
}
"""Of several statuses that forbid to send a person the first here counts: who is only archived may return."""

BILLED = tuple(status for status, rule in STATUS_RULES.items() if rule.billed)

HELD_BACK = tuple(
    status for status, rule in STATUS_RULES.items() if tuple(rule.sent_under) != NEW_MEMBER_STATUSES
)
"""Whose members are not sent, or only by some exports: they are looked up before anything is."""


class Lasting(StrEnum):
    """How long a person is not sent again for a reason that an earlier run found."""

    UNTIL_PROFILE_CHANGES = "until_profile_changes"
    """Or until the person subscribes by themselves, as with the next."""
    UNTIL_FIELDS_CHANGE = "until_fields_change"
    """Until the profile changes, or what the audience's fields demand."""
    ONE_RUN = "one_run"
    """It passes by itself: the next run tries again."""
    WHILE_STATUS = "while_status"
    """The member's status decides in each run."""
    UNTIL_SUBSCRIBED = "until_subscribed"
    """The same, and who is not in the audience any more stays so until they subscribe by themselves."""


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """What a reason means.

    :param effect: under which the person is counted.
    :param remedy: what to do about it, as users read it.
    :param retries: in how many of the next runs the person is sent again anyway.
    :param carries_over: whether it holds under a changed address too, where the audience has no status of the person.
    """

    effect: Effect
    lasting: Lasting
    remedy: str
    retries: int = 0
    carries_over: bool = False


REASON_RULES: Mapping[Reason, ReasonRule] = {
    Reason.MISSING_ADDRESS: ReasonRule(
        Effect.REJECTED,
        Lasting.UNTIL_PROFILE_CHANGES,
        "Give the profile an e-mail address at the source, or leave it out of the segment.",
    ),
    Reason.INVALID_ADDRESS: ReasonRule(
        Effect.REJECTED, Lasting.UNTIL_PROFILE_CHANGES, "Correct the address at the source."
    ),
    Reason.FAKE_ADDRESS: ReasonRule(
        Effect.REJECTED,
        Lasting.UNTIL_PROFILE_CHANGES,
        "Mailchimp takes the address for a test or a typing error: correct its domain at the source.",
    ),
    Reason.REQUIRED_FIELD: ReasonRule(
        Effect.REJECTED,
        Lasting.UNTIL_FIELDS_CHANGE,
        "Fill the field at the source, give it a default in field_map, or set skip_merge_validation.",
    ),
    Reason.INVALID_FIELD: ReasonRule(
        Effect.REJECTED,
        Lasting.UNTIL_FIELDS_CHANGE,
        "Correct the value at the source so that it fits the type of the audience's merge field.",
    ),
    Reason.TOO_MANY_SIGNUPS: ReasonRule(
        Effect.REJECTED,
        Lasting.ONE_RUN,
        "Nothing to fix: the person joined many lists lately; a later run will send them again.",
    ),
    Reason.REFUSED: ReasonRule(
        Effect.REJECTED,
        Lasting.UNTIL_PROFILE_CHANGES,
        "Read Mailchimp's words beside this; correct the profile or the audience accordingly.",
        # What it means is not known, and so neither is whether it passes.
        retries=3,
    ),
    Reason.UNSUBSCRIBED: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.UNTIL_SUBSCRIBED,
        "None: the person opted out. Only they can come back, through a signup form.",
        carries_over=True,
    ),
    Reason.CLEANED: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.WHILE_STATUS,
        "None: mail to this address bounced. Correct the address at the source if it is wrong.",
    ),
    Reason.PENDING: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.WHILE_STATUS,
        "None: the person has yet to confirm their subscription.",
    ),
    Reason.TRANSACTIONAL: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.WHILE_STATUS,
        "None: the person never agreed to marketing. Set new_member_status to transactional to "
        "send them as such.",
    ),
    Reason.ARCHIVED: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.WHILE_STATUS,
        "None: somebody archived the person in Mailchimp. Restore them there if they should "
        "receive mail again.",
    ),
    Reason.COMPLIANCE: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.UNTIL_PROFILE_CHANGES,
        "None: the person unsubscribed, bounced or is under review; only they can come back, "
        "through a signup form.",
        carries_over=True,
    ),
    Reason.FORGOTTEN: ReasonRule(
        Effect.SUPPRESSED,
        Lasting.UNTIL_PROFILE_CHANGES,
        "None: the person was permanently deleted; only they can come back, through a signup form.",
        carries_over=True,
    ),
    Reason.NO_ANSWER: ReasonRule(
        Effect.UNCONFIRMED,
        Lasting.ONE_RUN,
        "None: Mailchimp gave no answer for this person; the next run sends them again.",
    ),
}


@dataclass(frozen=True, slots=True)
class EffectRule:
    """What an effect means for the ledger.

    :param delivered: whether the person is in the audience as they were sent.
    :param state: what they are in the ledger from then on; ``None`` where they stay what they were.
    """

    delivered: bool = False
    state: LedgerState | None = None


EFFECT_RULES: Mapping[Effect, EffectRule] = {
    Effect.CREATED: EffectRule(delivered=True, state=LedgerState.MEMBER),
    Effect.UPDATED: EffectRule(delivered=True, state=LedgerState.MEMBER),
    Effect.UNCHANGED: EffectRule(),
    # Worse is that the person opted out before: then the tag was not asked to be taken.
    Effect.REMOVED: EffectRule(),
    Effect.REJECTED: EffectRule(state=LedgerState.REJECTED),
    Effect.SUPPRESSED: EffectRule(state=LedgerState.SUPPRESSED),
    Effect.UNCONFIRMED: EffectRule(state=LedgerState.UNCONFIRMED),
    Effect.NOT_SENT: EffectRule(),
    Effect.REMOVAL_FAILED: EffectRule(),
    Effect.RENAMED: EffectRule(),
    Effect.RENAME_REFUSED: EffectRule(),
}
"""From good to bad: of two answers about one person, the one further down counts."""


UNTAG = RemovalKind("untag", chunk_size=MAX_CHUNK_MEMBERS)
ARCHIVE = RemovalKind("archive", chunk_size=1, state=LedgerState.ARCHIVED, only_created=True)

REMOVAL_KINDS: dict[str, RemovalKind] = {kind.name: kind for kind in (UNTAG, ARCHIVE)}
"""How people are removed, by the name that ``on_leave`` selects; in this order, each after the tags that it takes.

Another kind is a row here, and its call among ``delivery``'s ``REMOVAL_CALLS``.
"""


def as_tables() -> dict[str, list[dict[str, Any]]]:
    """Return the rules as rows, by the name of the table that SQL joins; ``rank`` keeps the order given here."""
    return {
        "status_rules": _rows("status", STATUS_RULES),
        "reason_rules": _rows("reason", REASON_RULES),
        "effect_rules": _rows("effect", EFFECT_RULES),
        "removal_kinds": _rows("kind", REMOVAL_KINDS),
    }


def _rows(key: str, rules: Mapping[Any, Any]) -> list[dict[str, Any]]:
    return [{key: word, "rank": rank, **asdict(rule)} for rank, (word, rule) in enumerate(rules.items())]
