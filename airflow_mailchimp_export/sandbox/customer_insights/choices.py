"""The values that settings with a choice can have."""

from __future__ import annotations

from enum import StrEnum


class TableType(StrEnum):
    """What the tables are: Microsoft's pages say one and the other."""

    ELASTIC = "elastic"
    VIRTUAL = "virtual"


class FilterReading(StrEnum):
    """How text is compared in ``$filter``."""

    LIKE = "like"
    LITERAL = "literal"
    EXACT = "exact"


class SegmentsForm(StrEnum):
    """How ``msdynci_segments`` is written."""

    OBJECT = "object"
    SPACED = "spaced"
    LIST = "list"


class Emptied(StrEnum):
    """What becomes of the row of somebody who is in no segment any more."""

    GONE = "gone"
    EMPTY_LIST = "empty-list"
    NULL = "null"


class User(StrEnum):
    """What the application user may do."""

    READER = "reader"
    UNKNOWN = "unknown"
    WITHOUT_MEMBERSHIPS = "without-memberships"
    WITHOUT_PROFILES = "without-profiles"
    BUSINESS_UNIT = "business-unit"


class RetryAfter(StrEnum):
    """How an answer says when to come back."""

    SECONDS = "seconds"
    DATE = "date"
    NONE = "none"


class HeaderForm(StrEnum):
    """Whether exported files have a line with the names of columns, and whether ``model.json`` says so."""

    UNMENTIONED = "unmentioned"
    DECLARED = "declared"
    DECLARED_ABSENT = "declared-absent"
    UNDECLARED = "undeclared"


class ExportDefect(StrEnum):
    """How an export is incomplete or broken."""

    NONE = "none"
    MISSING_PART = "missing-part"
    NO_PARTITIONS = "no-partitions"
    UNFINISHED = "unfinished"
    NO_MODEL = "no-model"
    RAGGED_ROW = "ragged-row"
    CUT_PART = "cut-part"


class FaultKind(StrEnum):
    """The ways in which a call goes wrong."""

    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_MUCH_TIME = "too-much-time"
    TOO_MANY_AT_ONCE = "too-many-at-once"
    UNAVAILABLE = "unavailable"
    ERROR = "error"
    GATEWAY = "gateway"
    RESET = "reset"
    CUT = "cut"
    TRUNCATED = "truncated"
    HTML = "html"
    EMPTY = "empty"
    NO_VALUE = "no-value"
    DELAY = "delay"
    UNAUTHORIZED = "unauthorized"
    REPEATED_ROW = "repeated-row"
    LOOP = "loop"
    FOREIGN_LINK = "foreign-link"


PASSING = (
    FaultKind.TOO_MANY_REQUESTS,
    FaultKind.TOO_MUCH_TIME,
    FaultKind.TOO_MANY_AT_ONCE,
    FaultKind.UNAVAILABLE,
    FaultKind.ERROR,
    FaultKind.GATEWAY,
    FaultKind.RESET,
    FaultKind.CUT,
    FaultKind.TRUNCATED,
    FaultKind.HTML,
    FaultKind.EMPTY,
    FaultKind.NO_VALUE,
    FaultKind.DELAY,
)
"""The faults after which the same call may go well."""
