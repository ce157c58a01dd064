"""Who agreed to the transfer of personal data, and when, as a connection keeps it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mailchimp_export.settings.connection import ConnectionSettings
from airflow_mailchimp_export.settings.consent import Act, Evidence, agreed, withdrawn

KEY = "0123456789abcdef0123456789abcdef-us21"
NOON = datetime(2026, 11, 26, 13, 0, 7, 999, tzinfo=timezone(timedelta(hours=1)))
ANN = {"consent_by": "ann", "consent_at": "2026-11-26T12:00:07+00:00"}


def settings(**extra: object) -> ConnectionSettings:
    """Make the settings of a connection with these extras."""
    return ConnectionSettings.from_parts(password=KEY, host=None, port=None, schema=None, extra=extra)


def test_agreement_is_kept_beside_the_switch() -> None:
    """The switch is on, who and when are there in UTC, and everything else stays."""
    extra = agreed({"audience_id": "a1", "other": {"tool": 1}}, by="ann", at=NOON)
    assert extra == {"audience_id": "a1", "other": {"tool": 1}, "data_privacy_consent": True, **ANN}
    made = settings(**extra)
    assert made.data_privacy_consent
    assert made.evidence == Evidence(agreed=Act("ann", "2026-11-26T12:00:07+00:00"))


def test_withdrawal_is_kept_and_the_agreement_is_not() -> None:
    """Who had agreed would pass for the one who sets the switch again in a form that keeps no names."""
    extra = withdrawn(agreed({"timeout": 9}, by="ann", at=NOON), by="bob", at=NOON)
    assert extra == {
        "timeout": 9,
        "data_privacy_consent": False,
        "consent_withdrawn_by": "bob",
        "consent_withdrawn_at": ANN["consent_at"],
    }
    again = settings(**extra | {"data_privacy_consent": True})
    assert again.evidence.agreed is None
    assert again.evidence.in_words(is_given=True) == (
        "Consent is given, by whom and when is not known; it was withdrawn by bob at 2026-11-26T12:00:07+00:00 "
        "before that"
    )


def test_who_agrees_again_ends_the_withdrawal() -> None:
    """There is either an agreement or a withdrawal."""
    assert agreed(withdrawn({}, by="bob", at=NOON), by="ann", at=NOON) == {
        "data_privacy_consent": True,
        **ANN,
    }


@pytest.mark.parametrize(
    ("extra", "is_given", "words"),
    [
        (ANN, True, "Consent was given by ann at 2026-11-26T12:00:07+00:00"),
        ({}, True, "Consent is given, by whom and when is not known"),
        ({}, False, "There is no consent"),
        (ANN, False, "There is no consent"),
        (
            withdrawn({}, by="bob", at=NOON),
            False,
            "Consent was withdrawn by bob at 2026-11-26T12:00:07+00:00",
        ),
    ],
)
def test_in_words(extra: dict[str, Any], is_given: bool, words: str) -> None:
    """What is known is said, and that something is not known is said too."""
    assert Evidence.from_extra(extra).in_words(is_given=is_given) == words


def test_a_moment_with_another_zone_is_told_in_utc() -> None:
    """Moments that another program wrote are taken, if they have a zone."""
    (act,) = (Evidence.from_extra({**ANN, "consent_at": "2026-11-26T13:00:07+01:00"}).agreed,)
    assert act == Act("ann", "2026-11-26T12:00:07+00:00")


@pytest.mark.parametrize(
    ("wrong", "flaw"),
    [
        ({"consent_at": "yesterday"}, "consent_at must be a moment with its zone"),
        ({"consent_at": "2026-11-26T12:00:07"}, "consent_at must be a moment with its zone"),
        ({"consent_at": "0001-01-01T00:00:00+14:00"}, "consent_at must be a moment with its zone"),
        ({"consent_at": "9999-12-31T23:59:59-01:00"}, "consent_at must be a moment with its zone"),
        ({"consent_at": 20261126}, "given was a whole number"),
        ({"consent_at": ""}, "consent_at is empty"),
        ({"consent_by": None}, "consent_by is empty"),
        ({"consent_by": ["ann"]}, "consent_by must be one line of text; given was a value of type list"),
        ({"consent_by": "ann\nConsent was given by the board"}, "consent_by must be one line of text"),
        ({"consent_by": "a" * 201}, "consent_by must be a name of at most 200 characters"),
    ],
)
def test_what_is_malformed_is_no_evidence_and_stops_no_export(wrong: dict[str, Any], flaw: str) -> None:
    """Consent holds, who gave it is not known, and what is wrong is said without the value."""
    made = settings(data_privacy_consent=True, **{**ANN, **wrong})
    assert made.data_privacy_consent
    assert made.evidence.agreed is None
    (said,) = made.evidence.flaws
    assert flaw in said
    assert "yesterday" not in said


@given(by=st.text(min_size=1), hours=st.integers(-12, 14))
def test_what_is_written_can_be_read(by: str, hours: int) -> None:
    """Whatever an auth manager calls somebody, what is kept of it has no flaw, unless nothing can be seen of it."""
    at = NOON.astimezone(timezone(timedelta(hours=hours)))
    found = Evidence.from_extra(agreed({}, by=by, at=at))
    if any(char.isprintable() and not char.isspace() for char in by):
        assert found.flaws == ()
        assert found.agreed is not None
        assert found.agreed.at == "2026-11-26T12:00:07+00:00"


def test_the_fields_are_known() -> None:
    """Nobody is told that they are perhaps mistyped."""
    extra = agreed({}, by="ann", at=NOON) | withdrawn({}, by="ann", at=NOON)
    assert settings(**extra).unknown_extra == ()
