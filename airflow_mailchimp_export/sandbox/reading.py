"""Reads what a call carries: numbers and switches of the query, and bodies against their schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from airflow_mailchimp_export.sandbox.calls import Call
from airflow_mailchimp_export.sandbox.moments import seconds_of
from airflow_mailchimp_export.sandbox.problems import (
    INVALID_RESOURCE,
    JSON_PARSE,
    FieldError,
    Refused,
    invalid,
)

BROKEN: Final = object()
"""Stands in for a body that is no JSON."""

DEFAULT_COUNT = 10
MAX_COUNT = 1000
"""https://mailchimp.com/developer/marketing/docs/methods-parameters/#pagination"""

TAG_LENGTH = 100
BLANK = "This value should not be blank."

_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "NULL",
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a collection."""

    count: int
    offset: int

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """The part that is on this page."""
        return items[self.offset : self.offset + self.count]


def to_page(query: Mapping[str, str]) -> Page:
    """``count`` and ``offset``; a count past the maximum gives the maximum."""
    count = _whole(query, "count", DEFAULT_COUNT)
    return Page(min(count, MAX_COUNT), _whole(query, "offset", 0))


def switched_on(query: Mapping[str, str], name: str) -> bool:
    """A boolean of the query."""
    return query.get(name, "").lower() in {"true", "1"}


def to_moment(query: Mapping[str, str], name: str) -> float | None:
    """A moment of the query, with its fractions of a second: members are older or newer than it."""
    text = query.get(name)
    if not text:
        return None
    try:
        return seconds_of(text)
    except ValueError:
        raise invalid(name, "Please enter a valid ISO 8601 date") from None


def to_object(call: Call) -> dict[str, Any]:
    """The body, which has to be an object."""
    if call.payload is BROKEN:
        raise Refused(JSON_PARSE)
    if not isinstance(call.payload, dict):
        raise invalid("", f"Schema describes object, {kind_of(call.payload)} found instead")
    return call.payload


def check_kinds(body: Mapping[str, Any], kinds: Mapping[str, Any], *, prefix: str = "") -> list[FieldError]:
    """The fields whose JSON type is not the one of the schema."""
    return [
        FieldError(prefix + name, f"Schema describes {_name(kinds[name])}, {kind_of(value)} found instead")
        for name, value in body.items()
        if name in kinds and not _fits(value, kinds[name])
    ]


def require(body: Mapping[str, Any], kinds: Mapping[str, Any], *names: str) -> None:
    """Refuse a body with a field of the wrong type, or without one of these fields."""
    errors = check_kinds(body, kinds)
    missing = [name for name in names if body.get(name) in (None, "")]
    errors += [FieldError(name, BLANK) for name in missing if name not in {error.field for error in errors}]
    if errors:
        raise Refused(INVALID_RESOURCE.about(*errors))


def require_choice(body: Mapping[str, Any], name: str, choices: Sequence[str]) -> None:
    """Refuse a value that the schema does not list."""
    if name in body and body[name] not in choices:
        raise invalid(name, not_accepted(choices))


def not_accepted(choices: Sequence[str]) -> str:
    """Mailchimp's words for a value outside an enumeration."""
    return f"Data presented is not one of the accepted values: {', '.join(choices)}."


def check_tag_name(name: str) -> None:
    """Refuse a tag's name that is empty or too long."""
    if not name.strip():
        raise invalid("name", BLANK)
    if len(name) > TAG_LENGTH:
        raise invalid("name", f"This value is too long. It should have {TAG_LENGTH} characters or less.")


def kind_of(value: Any) -> str:
    """The JSON type of a value, in Mailchimp's words."""
    return _KINDS.get(type(value), "NULL")


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _name(kind: Any) -> str:
    return _KINDS[kind]


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise invalid(name, "Schema describes integer, string found instead")
    return int(text)
