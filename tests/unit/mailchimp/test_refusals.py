"""Why Mailchimp refused a person, read from the wordings that are known."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mailchimp_export.mailchimp.refusals import effect_of, why
from airflow_mailchimp_export.model import Effect, Reason

SEE_ERRORS = (
    "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
)
INVALID = "Your merge fields were invalid."
COMPLIANCE = "compliance state due to unsubscribe, bounce, or compliance review"

WORDINGS = [
    ("Please provide a valid email address.", Reason.INVALID_ADDRESS),
    ("{email} looks fake or invalid, please enter a real email address.", Reason.FAKE_ADDRESS),
    (SEE_ERRORS, Reason.INVALID_FIELD),
    (INVALID, Reason.INVALID_FIELD),
    (f"{{email}} is in a {COMPLIANCE} and cannot be subscribed.", Reason.COMPLIANCE),
    (f"{{email}} is already a list member in {COMPLIANCE}. Details follow.", Reason.COMPLIANCE),
    (
        "{email} was permanently deleted and cannot be re-imported. "
        "The contact must re-subscribe to get back on the list.",
        Reason.FORGOTTEN,
    ),
    ("Forgotten Email Not Subscribed", Reason.FORGOTTEN),
    (
        "{email} has signed up to a lot of lists very recently; we're not allowing more signups for now",
        Reason.TOO_MANY_SIGNUPS,
    ),
    (
        "{email} is already a list member, do you want to update? "
        "please provide update_existing:true in the request body",
        Reason.REFUSED,
    ),
]

ADDRESSES = [
    "ada@people.example",
    "forgotten@people.example",
    "required@people.example",
    "looks-fake-or-invalid@people.example",
    "invalid_email_address@people.example",
]


@pytest.mark.parametrize("email", ADDRESSES)
@pytest.mark.parametrize(("words", "reason"), WORDINGS)
def test_wordings(words: str, reason: Reason, email: str) -> None:
    """Each known wording has its reason, whatever words the address in it is made of."""
    assert why(words.format(email=email)) is reason
    assert why(words.format(email=email).upper()) is reason


@pytest.mark.parametrize("words", [SEE_ERRORS, INVALID])
@pytest.mark.parametrize(
    ("field_message", "reason"),
    [
        ("Please enter a value", Reason.REQUIRED_FIELD),
        ("This value should not be blank, it is required.", Reason.REQUIRED_FIELD),
        ("Please enter a number", Reason.INVALID_FIELD),
        ("Please enter a complete address", Reason.INVALID_FIELD),
        ("Value must be one of: m, w,  (not z)", Reason.INVALID_FIELD),
        ("Schema describes object, array found instead", Reason.INVALID_FIELD),
        (SEE_ERRORS, Reason.INVALID_FIELD),
        ("", Reason.INVALID_FIELD),
    ],
)
def test_fields(words: str, field_message: str, reason: Reason) -> None:
    """The general sentence about fields gives way to what is said of the single field."""
    assert why(words, field="FNAME", field_message=field_message) is reason


def test_a_field_does_not_outweigh_the_person() -> None:
    """Somebody who may not be subscribed is suppressed, also where a field is blamed beside."""
    words = f"ada@people.example is in a {COMPLIANCE} and cannot be subscribed."
    assert why(words, field="FNAME", field_message="Please enter a value") is Reason.COMPLIANCE


def test_what_is_said_of_a_nameless_field() -> None:
    """What is said of a single field decides also where Mailchimp does not name it."""
    assert (
        why("Your merge fields were invalid.", field_message="Please enter a number") is Reason.INVALID_FIELD
    )
    assert why("No.", field_message="Please enter a value") is Reason.REQUIRED_FIELD


def test_unknown_wordings() -> None:
    """What is not recognised is refused; where a field is blamed, the field is at fault."""
    assert why("The moon is in the wrong house.") is Reason.REFUSED
    assert why("The moon is in the wrong house.", field="MOON") is Reason.INVALID_FIELD
    assert why("") is Reason.REFUSED


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_any_wording(words: str, field: str, field_message: str) -> None:
    """Every wording has a reason that suppresses or rejects."""
    reason = why(words, field=field, field_message=field_message)
    assert effect_of(reason) in {Effect.SUPPRESSED, Effect.REJECTED}
