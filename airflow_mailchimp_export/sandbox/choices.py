"""The values that settings with a choice can have."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The user's role: viewers and authors may not write."""

    OWNER = "owner"
    ADMIN = "admin"
    MANAGER = "manager"
    AUTHOR = "author"
    VIEWER = "viewer"


class Plan(StrEnum):
    """``pricing_plan_type`` of the account."""

    MONTHLY = "monthly"
    PAY_AS_YOU_GO = "pay_as_you_go"
    FOREVER_FREE = "forever_free"


class OverLimit(StrEnum):
    """What a request past the connection limit gets."""

    JSON_429 = "429-json"
    EMPTY_429 = "429-empty"
    HTML_429 = "429-html"
    EMPTY_403 = "403-empty"
    HTML_403 = "403-html"


class Resubscribe(StrEnum):
    """What happens to an address that left and is sent as subscribed."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    ERROR = "error"


class ComplianceWords(StrEnum):
    """Both wordings have been seen in the field."""

    CANNOT_BE_SUBSCRIBED = "cannot-be-subscribed"
    ALREADY_MEMBER = "already-member"


class MergeWords(StrEnum):
    """Both wordings have been seen in the field."""

    MERGE_FIELDS = "merge-fields"
    SEE_ERRORS = "see-errors"


class OnPost(StrEnum):
    """What ``fields=`` does on a bulk POST, which the documentation leaves open."""

    HONOUR = "honour"
    IGNORE = "ignore"
    REFUSE = "refuse"


class MissingStatus(StrEnum):
    """What batch-subscribe makes of a member without ``status``, which the documentation leaves open."""

    KEEP = "keep"
    REFUSE = "refuse"


class StrangerInSegment(StrEnum):
    """What a segment update makes of an address that it cannot add."""

    ERROR = "error"
    IGNORE = "ignore"


class ArchiveFault(StrEnum):
    """How a batch's result archive is spoilt."""

    NONE = "none"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    INCOMPLETE = "incomplete"


class FaultKind(StrEnum):
    """The ways in which a call goes wrong."""

    THROTTLED = "throttled"
    FORBIDDEN = "forbidden"
    ERROR = "error"
    GATEWAY = "gateway"
    UNAVAILABLE = "unavailable"
    RESET_BEFORE = "reset-before"
    RESET_AFTER = "reset-after"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    DELAY = "delay"
