"""People in every state that a ledger can have, for the tables of docs/ledger.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airflow_mailchimp_export.errors import RetryableError
from airflow_mailchimp_export.mailchimp.protocol import Request
from airflow_mailchimp_export.options import OnLeave
from tests.kit.client import members_of, raising
from tests.kit.exports import LIST
from tests.kit.life import Life
from tests.kit.people import people

LONG_AGO = "2020-03-01T12:00:00+00:00"

GIVEN_THE_TAG = (
    "member",
    "found",
    "archived",
    "rejected for good",
    "rejected for now",
    "opted out",
    "held back",
    "deleted for good",
)
NEVER_TAGGED = ("none", "never rejected", "never opted out", "never deleted")
STATES = (*GIVEN_THE_TAG, "unconfirmed", *NEVER_TAGGED)

_REFUSALS = {
    "rejected for good": "{email} looks fake or invalid, please enter a real email address.",
    "rejected for now": "{email} has signed up to a lot of lists very recently",
    "deleted for good": "{email} was permanently deleted and cannot be re-imported.",
}
_REFUSALS |= {
    "never rejected": _REFUSALS["rejected for good"],
    "never deleted": _REFUSALS["deleted for good"],
}


@dataclass(frozen=True)
class Case:
    """One cell of a table: somebody in the ledger, what they are in the audience, and what is to come of it."""

    number: int
    state: str
    status: str
    words: tuple[str, ...]

    @property
    def email(self) -> str:
        """The address that the ledger knows."""
        return f"p{self.number:03d}@alt.eu"

    @property
    def new_email(self) -> str:
        """The address that they have after it changed."""
        return f"p{self.number:03d}@neu.eu"

    def __str__(self) -> str:
        """Name it where a test fails."""
        return f"{self.state} × {self.status}"


def cases_of(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[Case]:
    """Yield the cells of a table; a row may be of several states, and a column of several statuses."""
    for row in rows:
        for state in row[0].split(", "):
            for statuses, cell in zip(head[1:], row[1:], strict=True):
                for status in statuses.split(", "):
                    yield Case(number_of(state, status), state, status, tuple(cell.split(", ")))


STATUSES = (
    *("absent", "subscribed", "came back", "unsubscribed", "cleaned"),
    *("pending", "transactional", "archived", "forgotten"),
)


def number_of(state: str, status: str) -> int:
    """Return who stands for a case, in every table."""
    return STATES.index(state) * len(STATUSES) + STATUSES.index(status)


EVERYBODY = tuple(
    Case(number_of(state, status), state, status, ()) for state in STATES for status in STATUSES
)


def those(*states: str) -> list[Case]:
    """Return who is remembered as one of these."""
    return [case for case in EVERYBODY if case.state in states]


def table(cases: Iterable[Case], *, name: str = "Bo", moved: bool = False) -> pa.Table:
    """Make a segment of them."""
    listed = list(cases)
    emails = [case.new_email if moved else case.email for case in listed]
    return people(*emails, name=[name] * len(listed), id=[str(case.number) for case in listed])


def make_ledger(life: Life) -> None:
    """Let runs bring everybody into the ledger, each in their state."""
    life.put(*(case.email for case in those("found")))
    life.run({"A": table(those(*GIVEN_THE_TAG))})
    staying = [state for state in GIVEN_THE_TAG if state != "archived"]
    life.run({"A": table(those(*staying))}, on_leave=OnLeave.ARCHIVE)
    life.options = {**life.options, "on_leave": OnLeave.KEEP}
    life.script[f"POST {LIST}"] = raising(RetryableError("answered 503"))
    life.run({"A": table(those("unconfirmed"))})
    refused = [state for state in _REFUSALS if state in GIVEN_THE_TAG]
    life.put(*(case.email for case in those(*refused)), tags=["A"], last_changed=LONG_AGO)
    life.script[f"POST {LIST}"] = _refuse
    for state in _REFUSALS:
        life.run({"A": table(those(state), name="Bob")})
    del life.script[f"POST {LIST}"]
    life.put(*(case.email for case in those("opted out", "never opted out")), status="unsubscribed")
    life.put(*(case.email for case in those("held back")), status="pending")
    life.run({"A": table(those("opted out", "never opted out", "held back"))})


def as_known(case: Case) -> str:
    """Return the name that somebody had when the export last saw them."""
    return "Bob" if case.state in _REFUSALS else "Bo"


def put_into_audience(life: Life, cases: Iterable[Case], *, tagged: bool) -> None:
    """Make everybody in the audience what the table says.

    :param tagged: whether who never got the tag from the export carries it by chance.
    """
    life.sandbox.put(row for case in cases for row in [_member(case, tagged=tagged)] if row)


def _member(case: Case, *, tagged: bool) -> dict[str, Any]:
    tags = ["by hand"] if case.state in NEVER_TAGGED and not tagged else ["A", "by hand"]
    if case.status == "absent":
        return {}
    if case.status == "forgotten":
        return {"email": case.email, "forgotten": True}
    if case.status == "came back":
        return {"email": case.email, "status": "subscribed", "tags": tags}
    return {"email": case.email, "status": case.status, "tags": tags, "last_changed": LONG_AGO}


def _refuse(request: Request) -> dict[str, object]:
    states = {case.email: case.state for case in EVERYBODY}
    errors = [
        {"email_address": email, "error": _REFUSALS[states[email]].format(email=email), "field": ""}
        for email in (member["email_address"] for member in members_of(request))
    ]
    return {"new_members": [], "updated_members": [], "errors": errors, "error_count": len(errors)}
