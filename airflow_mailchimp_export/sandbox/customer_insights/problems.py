"""The errors of the Dataverse Web API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is answered."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The body."""
        return {"error": {"code": self.code, "message": self.message}}


class Refused(Exception):
    """A call that cannot be answered as it was asked."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def bad_query(message: str, code: str = "0x80060888") -> Refused:
    """The call asks for something in a way that is not understood."""
    return Refused(Problem(400, code, message))


def no_property(name: str, logical_name: str) -> Refused:
    """A column that the table does not have."""
    return bad_query(
        f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{logical_name}'."
    )


def no_resource(segment: str) -> Refused:
    """A part of the path that leads nowhere."""
    return Refused(Problem(404, "0x8006088a", f"Resource not found for the segment '{segment}'."))


def no_row(logical_name: str, key: str) -> Refused:
    """A key that no row has."""
    message = f"Entity '{logical_name}' With Id = {key} Does Not Exist"
    return Refused(Problem(404, "0x80040217", message))


def no_privilege(user_id: str, privilege: str, logical_name: str) -> Refused:
    """The user's roles do not allow it."""
    message = (
        f"Principal user (Id={user_id}, type=8, roleCount=1, privilegeCount=27, accessMode=4), "
        f"is missing {privilege} privilege on OTC=10400 for entity '{logical_name}'."
    )
    return Refused(Problem(403, "0x80040220", message))


def not_imitated(what: str) -> Refused:
    """What Dataverse can do and the sandbox cannot."""
    return Refused(Problem(501, "0x80048d02", f"The sandbox does not imitate {what}."))


NOT_A_MEMBER = "The user is not a member of the organization."
LINKED = Problem(400, "0x80048d0b", "Link entities are not supported.")
SKIP = Problem(400, "0x80060888", "Skip Clause is not supported in CRM.")
TOO_MANY_CONDITIONS = (
    "Number of conditions in query exceeded maximum limit. Maximum number of conditions allowed is {limit}."
)
"""The words are a guess."""
