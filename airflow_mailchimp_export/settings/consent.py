"""Who agreed to the transfer of personal data, and when: what a connection keeps beside the switch itself.

The switch alone decides whether profiles may leave. These fields are evidence of it, written by the pages; a
connection of before, or one whose switch was set in Airflow's form, has none, and is used all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    is_blank,
    moment,
    parse_setting,
    single_line,
)

CONSENT: Final = "data_privacy_consent"
"""The switch."""

AGREED_BY, AGREED_AT = "consent_by", "consent_at"
WITHDRAWN_BY, WITHDRAWN_AT = "consent_withdrawn_by", "consent_withdrawn_at"

EVIDENCE: Final = (AGREED_BY, AGREED_AT, WITHDRAWN_BY, WITHDRAWN_AT)
"""The extras beside the switch; no form shows them."""

MAX_NAME: Final = 200
"""Most characters of somebody's name."""


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody agreed, or withdrew that.

    :param by: the name under which Airflow knew the person.
    :param at: in ISO 8601, UTC.
    """

    by: str
    at: str

    def __str__(self) -> str:
        return f"by {self.by} at {self.at}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of consent beside whether it is given.

    :param agreed: the last agreement; ``None`` where nobody knows whose it was.
    :param withdrawn: the withdrawal after which there is no known agreement.
    :param flaws: what is wrong with fields that say nothing therefore; never a value.
    """

    agreed: Act | None = None
    withdrawn: Act | None = None
    flaws: tuple[str, ...] = ()

    @classmethod
    def from_extra(cls, extra: Mapping[str, object]) -> Evidence:
        """Read the fields; of what is incomplete or no name and no moment, nothing is taken as evidence."""
        flaws: list[str] = []
        agreed = _act(extra, AGREED_BY, AGREED_AT, flaws)
        withdrawn = _act(extra, WITHDRAWN_BY, WITHDRAWN_AT, flaws)
        return cls(agreed, withdrawn, tuple(flaws))

    def in_words(self, *, is_given: bool) -> str:
        """Say of a connection who agreed and when, or who withdrew it, or that this is not known."""
        before = f"; it was withdrawn {self.withdrawn} before that" if self.withdrawn else ""
        if is_given and self.agreed:
            return f"Consent was given {self.agreed}"
        if is_given:
            return f"Consent is given, by whom and when is not known{before}"
        return f"Consent was withdrawn {self.withdrawn}" if self.withdrawn else "There is no consent"


def agreed(extra: Mapping[str, object], *, by: str, at: datetime) -> dict[str, Any]:
    """Return a connection's extras with somebody's agreement in them.

    :param by: the name of the user who agreed, as Airflow knows it.
    :param at: with its zone.
    """
    return {**_without_evidence(extra), CONSENT: True, AGREED_BY: _name(by), AGREED_AT: _utc(at)}


def withdrawn(extra: Mapping[str, object], *, by: str, at: datetime) -> dict[str, Any]:
    """Return a connection's extras without consent, and with who withdrew it.

    Who had agreed is not kept: if the switch is set again in Airflow's form, which knows no names, it would look as
    if that one had done it. Airflow's audit log knows of both.
    """
    return {**_without_evidence(extra), CONSENT: False, WITHDRAWN_BY: _name(by), WITHDRAWN_AT: _utc(at)}


def _without_evidence(extra: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in extra.items() if key not in EVIDENCE}


def _name(by: str) -> str:
    """Make one line of whatever an auth manager calls somebody."""
    return "".join(char if char.isprintable() else " " for char in by).strip()[:MAX_NAME]


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _person(value: object) -> str:
    name = single_line(value)
    if len(name) > MAX_NAME:
        raise InvalidValue(f"a name of at most {MAX_NAME} characters")
    return name


def _act(extra: Mapping[str, object], by: str, at: str, flaws: list[str]) -> Act | None:
    missing = [key for key in (by, at) if is_blank(extra.get(key))]
    if len(missing) == 1:
        flaws.append(f"{missing[0]} is empty")
    if missing:
        return None
    try:
        return Act(parse_setting(by, extra[by], _person), parse_setting(at, extra[at], moment))
    except ConfigError as error:
        flaws.append(error.happened.rstrip("."))
        return None
