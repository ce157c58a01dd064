"""Calls that go wrong: in which ways, and which of them, drawn so that a run can be repeated."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from http import HTTPStatus
from random import Random

from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.problems import BY_STATUS
from airflow_mailchimp_export.sandbox.settings import Settings

APPLIED = frozenset(
    {FaultKind.GATEWAY, FaultKind.RESET_AFTER, FaultKind.TRUNCATED, FaultKind.GARBAGE, FaultKind.DELAY}
)
"""The faults after which the work has been done all the same."""

_FAILURE = re.compile(r"([45]\d\d)(?:-(json|html|empty))?")


class Form(StrEnum):
    """The body of an error."""

    JSON = "json"
    HTML = "html"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is an error, whatever the call was."""

    status: int
    form: Form


FAILURES: Mapping[FaultKind, Failure] = {
    FaultKind.THROTTLED: Failure(429, Form.JSON),
    FaultKind.FORBIDDEN: Failure(403, Form.HTML),
    FaultKind.ERROR: Failure(500, Form.JSON),
    FaultKind.GATEWAY: Failure(502, Form.HTML),
    FaultKind.UNAVAILABLE: Failure(503, Form.HTML),
}
FROM_THE_EDGE = frozenset({502, 503, 504})
"""Errors that come from in front of Mailchimp, and so as a page, unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a call to go wrong.

    :param word: what it is called.
    :param applied: the work is done all the same.
    :param failure: what is answered; without one the answer is cut off, spoilt or late.
    """

    word: str
    applied: bool
    failure: Failure | None = None


def to_failure(word: str) -> Failure:
    """``403``, ``403-html`` or ``403-empty``.

    :raises ValueError: it is no error, or there is no problem document of this status.
    """
    found = _FAILURE.fullmatch(word)
    if not found or found[1] not in map(str, HTTPStatus):
        raise ValueError(f"{word!r} is no fault.")
    status = int(found[1])
    form = Form(found[2]) if found[2] else Form.HTML if status in FROM_THE_EDGE else Form.JSON
    if form is Form.JSON and status not in BY_STATUS:
        raise ValueError(f"{word!r} is no fault: there is no problem document with this status.")
    return Failure(status, form)


def to_fault(word: str, *, applied: bool = False) -> Fault:
    """A kind of fault, or an error by its status.

    :param applied: for errors by their status; kinds of faults say by themselves whether the work is done.
    :raises ValueError: there is no such fault.
    """
    if word in list(FaultKind):
        kind = FaultKind(word)
        return Fault(word, kind in APPLIED, FAILURES.get(kind))
    return Fault(word, applied, to_failure(word))


class Injector:
    """Draws from the seed, the call and how often it was made: the order of arrival plays no part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._attempts: Counter[bytes] = Counter()

    def draw(self, method: str, target: str, body: bytes) -> FaultKind | None:
        """The fault of this call, if it has one."""
        rate, kinds = self._settings.fault_rate, self._settings.faults
        if rate <= 0 or not kinds:
            return None
        call = blake2b(f"{method} {target} ".encode() + body, digest_size=8).digest()
        self._attempts[call] += 1
        chance = Random(f"{self._settings.seed} {call.hex()} {self._attempts[call]}")
        return chance.choice(kinds) if chance.random() < rate else None
