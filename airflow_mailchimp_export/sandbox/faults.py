"""Calls that go wrong: in which ways, and which of them, drawn so that a run can be repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from airflow_mailchimp_export.sandbox.choices import FaultKind
from airflow_mailchimp_export.sandbox.lottery import Lottery
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
    """Draws the faults of the calls that come from outside."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lottery = Lottery()

    def draw(self, method: str, target: str, body: bytes) -> FaultKind | None:
        """The fault of this call, if it has one."""
        settings = self._settings
        call = f"{method} {target} ".encode() + body
        return self._lottery.draw(call, seed=settings.seed, rate=settings.fault_rate, kinds=settings.faults)
