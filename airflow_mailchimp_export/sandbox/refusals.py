"""Why a person is not taken, in Mailchimp's words, for bulk answers and for problem documents."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.addresses import domain_of, is_address, is_role
from airflow_mailchimp_export.sandbox.choices import ComplianceWords, MergeWords, Resubscribe
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.problems import (
    COMPLIANCE_STATE,
    FORGOTTEN,
    INVALID_RESOURCE,
    MEMBER_EXISTS,
    SEE_ERRORS,
    FieldError,
    Problem,
)
from airflow_mailchimp_export.sandbox.state import Audience, Member

EXISTS_IN_BULK = (
    "{email} is already a list member, do you want to update? "
    "please provide update_existing:true in the request body"
)
EXISTS = "{email} is already a list member. Use PUT to insert or update list members."
BAD_ADDRESS = "Please provide a valid email address."
FAKE = "{email} looks fake or invalid, please enter a real email address."
IN_COMPLIANCE = {
    ComplianceWords.CANNOT_BE_SUBSCRIBED: (
        "{email} is in a compliance state due to unsubscribe, bounce, or compliance review "
        "and cannot be subscribed."
    ),
    ComplianceWords.ALREADY_MEMBER: (
        "{email} is already a list member in compliance state due to unsubscribe, bounce, "
        "or compliance review."
    ),
}
GONE = (
    "{email} was permanently deleted and cannot be re-imported. "
    "The contact must re-subscribe to get back on the list."
)
CROWDED = "{email} has signed up to a lot of lists very recently; we're not allowing more signups for now"
ROLE = "{email} is a role-based address and cannot be imported."
TWICE = "{email} is a duplicate: it appears more than once in this request."
BAD_MERGE_FIELDS = {
    MergeWords.MERGE_FIELDS: "Your merge fields were invalid.",
    MergeWords.SEE_ERRORS: SEE_ERRORS,
}
BAD_INTEREST = "Invalid interest ID: '{interest}'."


class Code(StrEnum):
    """The only codes of a bulk answer's errors."""

    CONTACT_EXISTS = "ERROR_CONTACT_EXISTS"
    GENERIC = "ERROR_GENERIC"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One person is not taken."""

    text: str
    kind: Problem = INVALID_RESOURCE
    code: Code = Code.GENERIC
    errors: tuple[FieldError, ...] = ()

    def to_json(self, email: str) -> dict[str, Any]:
        """As an entry of a bulk answer; it has room for one field only."""
        entry = {"email_address": email, "error": self.text, "error_code": self.code.value}
        first = self.errors[0] if self.errors else FieldError("", "")
        return entry | {"field": first.field, "field_message": first.message}

    def to_problem(self) -> Problem:
        """As the answer of a call for one member."""
        return self.kind.saying(self.text).about(*self.errors)


def exists(email: str) -> Refusal:
    """The address is on the list, and the call may only create."""
    return Refusal(EXISTS.format(email=email), MEMBER_EXISTS)


def merge_refusal(account: Account, errors: list[FieldError]) -> Refusal:
    """Values that their fields do not take, or required ones that are missing."""
    return Refusal(BAD_MERGE_FIELDS[account.settings.merge_words], errors=tuple(errors))


def field_refusal(field: str, message: str) -> Refusal:
    """Another field is at fault."""
    return Refusal(SEE_ERRORS, errors=(FieldError(field, message),))


def refuse_address(account: Account, audience: Audience, *, email: str, digest: bytes) -> Refusal | None:
    """Addresses that are not taken, whoever they belong to."""
    if not is_address(email):
        return Refusal(BAD_ADDRESS, errors=(FieldError("email_address", BAD_ADDRESS),))
    if domain_of(email) in account.settings.fake_domains:
        return Refusal(FAKE.format(email=email))
    if digest in audience.forgotten:
        return Refusal(GONE.format(email=email), FORGOTTEN)
    if audience.crowded and _still_crowded(audience, digest):
        return Refusal(CROWDED.format(email=email))
    if account.settings.refuse_role_addresses and is_role(email):
        return Refusal(ROLE.format(email=email))
    return None


def settle_status(account: Account, member: Member, wanted: Status) -> Status | Refusal:
    """The status that a member of the list gets, who is to have another one.

    Who opted out, or bounced, does not come back by the API; a confirmation mail (``pending``) may be sent to
    who opted out.
    """
    if wanted is not Status.SUBSCRIBED and not (wanted is Status.PENDING and member.status is Status.CLEANED):
        return wanted
    if member.compliance or member.status is Status.CLEANED:
        rule = account.settings.compliance
    elif member.status is Status.UNSUBSCRIBED:
        rule = account.settings.unsubscribed
    else:
        return wanted
    if rule is Resubscribe.ERROR:
        words = IN_COMPLIANCE[account.settings.compliance_words]
        return Refusal(words.format(email=member.email), COMPLIANCE_STATE)
    return member.status if rule is Resubscribe.IGNORE else wanted


def _still_crowded(audience: Audience, digest: bytes) -> bool:
    left = audience.crowded.get(digest, 0)
    if left > 0:
        audience.crowded[digest] = left - 1
    return left != 0
