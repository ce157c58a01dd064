"""Calls that go wrong: in which ways, and what is answered then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from airflow_mailchimp_export.sandbox.customer_insights.choices import FaultKind
from airflow_mailchimp_export.sandbox.customer_insights.problems import Problem
from airflow_mailchimp_export.sandbox.customer_insights.protection import (
    TOO_MANY_AT_ONCE,
    TOO_MANY_REQUESTS,
    TOO_MUCH_TIME,
    to_problem,
)
from airflow_mailchimp_export.sandbox.customer_insights.replies import HTML, Reply, problem_reply
from airflow_mailchimp_export.sandbox.planned import Plan, Planned, read_calls

FOREIGN_HOST = "attacker.example"
SIGN_IN_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body></body></html>"
_PAGE = "<html><head><title>{title}</title></head><body><h2>{title}</h2></body></html>"
_STATUS = re.compile(r"([45]\d\d)(?:-(json|html|empty))?")

PROBLEMS: Mapping[FaultKind, Problem] = {
    FaultKind.TOO_MANY_REQUESTS: to_problem(TOO_MANY_REQUESTS, 6000, 300),
    FaultKind.TOO_MUCH_TIME: to_problem(TOO_MUCH_TIME, 1_200_000, 300),
    FaultKind.TOO_MANY_AT_ONCE: to_problem(TOO_MANY_AT_ONCE, 52, 300),
    FaultKind.UNAVAILABLE: Problem(503, "0x80044150", "The service is unavailable."),
    FaultKind.ERROR: Problem(500, "0x80040216", "An unexpected error occurred."),
}
AT_ONCE = frozenset(
    {*PROBLEMS, FaultKind.GATEWAY, FaultKind.RESET, FaultKind.HTML, FaultKind.EMPTY, FaultKind.UNAUTHORIZED}
)
"""The faults for which the right answer plays no part."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a call to go wrong.

    :param word: what it is called: a kind of fault, or a status.
    """

    word: str

    @classmethod
    def from_word(cls, word: str) -> Fault:
        """A kind of fault, or an error by its status: ``503``, ``403-html``, ``500-empty``.

        :raises ValueError: it is neither.
        """
        found = _STATUS.fullmatch(word)
        if word not in list(FaultKind) and not (found and found[1] in map(str, HTTPStatus)):
            raise ValueError(f"{word!r} is no fault.")
        return cls(word)

    @property
    def at_once(self) -> bool:
        """Whether the right answer plays no part."""
        return self.word in AT_ONCE or self.word[:1].isdigit()


@dataclass(slots=True, eq=False)
class PlannedFault(Planned[Fault]):
    """One fault, and the calls that it waits for; its path is the whole one, without the query."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PlannedFault:
        """Read what a control call or the command line names.

        :raises ValueError: something is missing, unknown, or cannot be.
        """
        calls = read_calls(values)
        return cls(Fault.from_word(str(values["answer"])), *calls)


FaultPlan = Plan[Fault]


def failure_reply(fault: Fault) -> Reply | None:
    """The answer of a fault for which the right one plays no part; None: the connection is cut."""
    word = fault.word
    if word == FaultKind.RESET:
        return None
    if word in PROBLEMS:
        return problem_reply(PROBLEMS[FaultKind(word)])
    if word == FaultKind.HTML:
        return Reply(200, SIGN_IN_PAGE, HTML)
    if word == FaultKind.EMPTY:
        return Reply(200, b"")
    plain: dict[str, str] = {FaultKind.GATEWAY: "502-html", FaultKind.UNAUTHORIZED: "401-empty"}
    status, _, form = plain.get(word, word).partition("-")
    return _status_reply(int(status), form)


def spoil(fault: Fault, reply: Reply, url: str) -> Reply:
    """The right answer, spoilt; where there is nothing to spoil, as it is.

    :param url: what was called.
    """
    page = reply.page
    if fault.word == FaultKind.TRUNCATED:
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    if page is None:
        return reply
    if fault.word == FaultKind.NO_VALUE:
        return replace(reply, body=page.to_body(with_value=False))
    if fault.word == FaultKind.LOOP:
        return replace(reply, body=replace(page, next_link=url).to_body())
    if fault.word == FaultKind.FOREIGN_LINK and page.next_link:
        link = re.sub(r"^https?://[^/]+", f"https://{FOREIGN_HOST}", page.next_link)
        return replace(reply, body=replace(page, next_link=link).to_body())
    return reply


def _status_reply(status: int, form: str) -> Reply:
    if form == "html" or (not form and status in {502, 504}):
        return Reply(status, _PAGE.format(title=f"{status} {HTTPStatus(status).phrase}").encode(), HTML)
    if form == "empty":
        return Reply(status, b"")
    return problem_reply(Problem(status, "0x0", HTTPStatus(status).phrase))
