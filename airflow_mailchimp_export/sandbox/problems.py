"""Mailchimp's problem documents.

The titles are those of https://mailchimp.com/developer/marketing/docs/errors/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

GLOSSARY = "https://mailchimp.com/developer/marketing/docs/errors/"
SEE_ERRORS = (
    "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One entry of a problem's ``errors``."""

    field: str
    message: str

    def to_json(self) -> dict[str, str]:
        """As it stands in the document."""
        return {"field": self.field, "message": self.message}


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of refusal, or a refusal with its particulars."""

    status: int
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    allow: tuple[str, ...] = ()
    typed: bool = True

    def saying(self, detail: str) -> Problem:
        """The same kind with other words."""
        return replace(self, detail=detail)

    def about(self, *errors: FieldError) -> Problem:
        """The same kind with the fields that are at fault."""
        return replace(self, errors=errors)

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer's head adds."""
        return {"Allow": ", ".join(self.allow)} if self.allow else {}

    def to_json(self, instance: str) -> dict[str, Any]:
        """The document; some kinds are recorded without a ``type``."""
        document: dict[str, Any] = {"type": GLOSSARY} if self.typed else {}
        document |= {"title": self.title, "status": self.status, "detail": self.detail, "instance": instance}
        if self.errors:
            document["errors"] = [error.to_json() for error in self.errors]
        return document


class Refused(Exception):
    """The request is answered with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


BAD_REQUEST = Problem(400, "Bad Request", "Your request could not be processed.")
INVALID_RESOURCE = Problem(400, "Invalid Resource", SEE_ERRORS)
INVALID_ACTION = Problem(400, "Invalid Action", "The action requested was not valid for this resource.")
JSON_PARSE = Problem(400, "JSON Parse Exception", "We encountered an unspecified JSON parsing error.")
MEMBER_EXISTS = Problem(400, "Member Exists", "", typed=False)
COMPLIANCE_STATE = Problem(400, "Member In Compliance State", "")
FORGOTTEN = Problem(400, "Forgotten Email Not Subscribed", "")
KEY_MISSING = Problem(401, "API Key Missing", "Your request did not include an API key.")
KEY_INVALID = Problem(
    401,
    "API Key Invalid",
    "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
)
FORBIDDEN = Problem(403, "Forbidden", "User does not have access to the requested operation.")
PLAN_FORBIDS = Problem(
    403, "User action not permitted", "User does not have access to the requested operation."
)
USER_DISABLED = Problem(403, "User Disabled", "This account has been deactivated.")
WRONG_DATACENTER = Problem(
    403, "WrongDatacenter", "The API key provided is linked to a different data center."
)
NOT_FOUND = Problem(404, "Resource Not Found", "The requested resource could not be found.")
METHOD_NOT_ALLOWED = Problem(
    405,
    "Method Not Allowed",
    "The requested method and resource are not compatible. "
    "See the Allow header for this resource's available methods.",
)
TOO_DEEP = Problem(414, "Resource Nesting Too Deep", "The sub-resource requested is nested too deeply.")
METHOD_OVERRIDE = Problem(
    422, "InvalidMethodOverride", "You can only use the X-HTTP-Method-Override header with the POST method."
)
BAD_FIELDS = Problem(422, "RequestedFieldsInvalid", "The fields requested from this resource are invalid.")
UPGRADE = Problem(426, "Upgrade Required", "Requests must be made over HTTPS.")
TOO_MANY = Problem(
    429, "Too Many Requests", "You have exceeded the limit of {limit} simultaneous connections."
)
INTERNAL = Problem(
    500,
    "Internal Server Error",
    "A deep, internal error has occurred during the processing of your request. Please contact support.",
)
IN_REVIEW = Problem(503, "ComplianceRelated", "This method has been disabled.")

BY_STATUS: Mapping[int, Problem] = {
    problem.status: problem
    for problem in (
        BAD_REQUEST,
        KEY_INVALID,
        FORBIDDEN,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        TOO_DEEP,
        BAD_FIELDS,
        UPGRADE,
        TOO_MANY,
        INTERNAL,
        IN_REVIEW,
    )
}
"""One problem of each status, for answers that have nothing to do with the call."""

TRIGGERS: Mapping[str, Problem] = {
    "BadRequest": BAD_REQUEST,
    "InvalidAction": INVALID_ACTION,
    "InvalidResource": INVALID_RESOURCE,
    "JSONParseError": JSON_PARSE,
    "APIKeyMissing": KEY_MISSING,
    "APIKeyInvalid": KEY_INVALID,
    "Forbidden": FORBIDDEN,
    "UserDisabled": USER_DISABLED,
    "WrongDatacenter": WRONG_DATACENTER,
    "ResourceNotFound": NOT_FOUND,
    "MethodNotAllowed": METHOD_NOT_ALLOWED,
    "ResourceNestingTooDeep": TOO_DEEP,
    "InvalidMethodOverride": METHOD_OVERRIDE,
    "RequestedFieldsInvalid": BAD_FIELDS,
    "UpgradeRequired": UPGRADE,
    "TooManyRequests": TOO_MANY.saying("You have exceeded the limit of 10 simultaneous connections."),
    "InternalServerError": INTERNAL,
    "ComplianceRelated": IN_REVIEW,
}


def invalid(field: str, message: str) -> Refused:
    """Refuse the whole request because of one field."""
    return Refused(INVALID_RESOURCE.about(FieldError(field, message)))
