"""Why Mailchimp refused a person, read from its words.

Mailchimp has two error codes, and one of them says nothing, so the wording decides.
What is not recognised stays ``refused`` and keeps Mailchimp's own words.
"""

from __future__ import annotations

import re

from airflow_mailchimp_export.mailchimp.protocol import masked
from airflow_mailchimp_export.model import Effect, MemberStatus, Reason

_WORDING: tuple[tuple[re.Pattern[str], Reason], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"compliance state", Reason.COMPLIANCE),
        (r"permanently deleted|forgotten", Reason.FORGOTTEN),
        (r"looks fake or invalid", Reason.FAKE_ADDRESS),
        (r"signed up to a lot of lists", Reason.TOO_MANY_SIGNUPS),
        (r"valid email address|invalid email|email address is invalid", Reason.INVALID_ADDRESS),
        (r"please enter a value|required|cannot be blank", Reason.REQUIRED_FIELD),
        (
            r"merge fields were invalid|please enter a|value must be one of|could not be validated"
            r"|enter a complete address",
            Reason.INVALID_FIELD,
        ),
    )
)

SUPPRESSING = frozenset({Reason.COMPLIANCE, Reason.FORGOTTEN}) | {
    Reason(status.value) for status in MemberStatus if status is not MemberStatus.SUBSCRIBED
}
"""The reasons that mean that the person, or Mailchimp for them, said no."""

REMEDIES: dict[Reason, str] = {
    Reason.MISSING_ADDRESS: (
        "Give the profile an e-mail address at the source, or leave it out of the segment."
    ),
    Reason.INVALID_ADDRESS: "Correct the address at the source.",
    Reason.FAKE_ADDRESS: (
        "Mailchimp takes the address for a test or a typing error: correct its domain at the source."
    ),
    Reason.REQUIRED_FIELD: (
        "Fill the field at the source, give it a default in field_map, or set skip_merge_validation."
    ),
    Reason.INVALID_FIELD: (
        "Correct the value at the source so that it fits the type of the audience's merge field."
    ),
    Reason.TOO_MANY_SIGNUPS: (
        "Nothing to mend: the person joined many lists lately; a later run will send them again."
    ),
    Reason.REFUSED: ("Read Mailchimp's words beside this; correct the profile or the audience accordingly."),
    Reason.UNSUBSCRIBED: "None: the person opted out. Only they can come back, through a signup form.",
    Reason.CLEANED: ("None: mail to this address bounced. Correct the address at the source if it is wrong."),
    Reason.PENDING: "None: the person has yet to confirm their subscription.",
    Reason.TRANSACTIONAL: (
        "None: the person never agreed to marketing. Set new_member_status to transactional to "
        "send them as such."
    ),
    Reason.ARCHIVED: (
        "None: somebody archived the person in Mailchimp. Restore them there if they should "
        "receive mail again."
    ),
    Reason.COMPLIANCE: (
        "None: the person unsubscribed, bounced or is under review; only they can come back, "
        "through a signup form."
    ),
    Reason.FORGOTTEN: (
        "None: the person was permanently deleted; only they can come back, through a signup form."
    ),
    Reason.NO_ANSWER: "None: Mailchimp gave no answer for this person; the next run sends them again.",
}


def why(words: str, *, field: str = "", field_message: str = "") -> Reason:
    """Return the reason that stands behind Mailchimp's words.

    :param words: the ``error`` of a refused member.
    :param field: the merge tag that Mailchimp blames, if it blames one.
    :param field_message: what it says of that field.
    """
    # Masked, because an address such as forgotten@... may hold the words that decide.
    general, single = masked(words), masked(field_message)
    for text in (general, single):
        for pattern, reason in _WORDING:
            if pattern.search(text) and not _too_vague(reason, text, single):
                return reason
    return Reason.INVALID_FIELD if field else Reason.REFUSED


def _too_vague(reason: Reason, text: str, single: str) -> bool:
    """The general sentence about fields gives way to what is said of the single field."""
    return reason is Reason.INVALID_FIELD and bool(single) and text != single


def effect_of(reason: Reason) -> Effect:
    """Return whether a reason means that the person is suppressed or that the profile is at fault."""
    return Effect.SUPPRESSED if reason in SUPPRESSING else Effect.REJECTED
