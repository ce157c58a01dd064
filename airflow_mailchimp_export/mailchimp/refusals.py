"""Why Mailchimp refused a person, read from its words.

Mailchimp has two error codes, and one of them says nothing, so the wording decides.
What is not recognised stays ``refused`` and keeps Mailchimp's own words.
"""

from __future__ import annotations

import re

from airflow_mailchimp_export.masking import masked
from airflow_mailchimp_export.model import Effect, Reason
from airflow_mailchimp_export.rules import REASON_RULES

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
    return REASON_RULES[reason].effect
