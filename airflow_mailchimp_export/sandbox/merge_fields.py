"""Merge fields: what each type accepts, and how a member's values are merged with new ones.

The types are those of https://mailchimp.com/developer/marketing/docs/merge-fields/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeAlias

from airflow_mailchimp_export.sandbox.problems import FieldError

Value: TypeAlias = str | int | float | dict[str, str]

TEXT_BYTES = 255
"""Longer text is cut in silence: https://mailchimp.com/developer/marketing/docs/merge-fields/."""

ANY_OF = "Data did not match any of the schemas described in anyOf."
ENTER_VALUE = "Please enter a value"


class MergeType(StrEnum):
    """The types of a merge field."""

    TEXT = "text"
    NUMBER = "number"
    ADDRESS = "address"
    PHONE = "phone"
    DATE = "date"
    URL = "url"
    IMAGEURL = "imageurl"
    RADIO = "radio"
    DROPDOWN = "dropdown"
    BIRTHDAY = "birthday"
    ZIP = "zip"


@dataclass(slots=True)
class MergeField:
    """One attribute that the members of an audience have."""

    merge_id: int
    tag: str
    name: str
    type: MergeType = MergeType.TEXT
    required: bool = False
    default_value: str = ""
    public: bool = False
    display_order: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    help_text: str = ""

    def accept(self, value: Any) -> Value:
        """The value as it is stored.

        :raises ValueError: it does not fit; the text is Mailchimp's message.
        """
        if value == "":
            return ""
        if isinstance(value, (bool, list)) or value is None:
            raise ValueError(ANY_OF)
        if isinstance(value, dict) and self.type is not MergeType.ADDRESS:
            raise ValueError(ANY_OF)
        if self.type is MergeType.TEXT:
            return _text(str(value))
        return _CHECKS[self.type](value, self.options)


class MergePlan:
    """The fields of an audience, made ready for merging many members."""

    __slots__ = ("_places", "_required", "blank", "tags")

    def __init__(self, fields: Sequence[MergeField]) -> None:
        self.tags = tuple(one.tag for one in fields)
        self.blank: tuple[Value, ...] = ("",) * len(fields)
        self._places = {one.tag: (place, one) for place, one in enumerate(fields)}
        self._required = [(place, one.tag) for place, one in enumerate(fields) if one.required]

    def merge(
        self, old: tuple[Value, ...], given: Mapping[str, Any], *, check_required: bool
    ) -> tuple[tuple[Value, ...], list[FieldError]]:
        """Old values with the given ones on top, and what is wrong; unknown tags are dropped in silence."""
        values = list(old + self.blank[len(old) :])
        errors = []
        for tag, value in given.items():
            place_and_field = self._places.get(tag)
            if place_and_field is None:
                continue
            place, one = place_and_field
            if type(value) is str and one.type is MergeType.TEXT and len(value) < TEXT_BYTES // 4:
                values[place] = value
                continue
            try:
                values[place] = one.accept(value)
            except ValueError as error:
                errors.append(FieldError(tag, str(error)))
        if check_required and self._required:
            errors += [FieldError(tag, ENTER_VALUE) for place, tag in self._required if values[place] == ""]
        return tuple(values), errors

    def to_json(self, values: tuple[Value, ...]) -> dict[str, Value]:
        """Every merge field of the audience; what is not set is an empty string."""
        return dict(zip(self.tags, values + self.blank[len(values) :], strict=True))


def starting_fields() -> list[MergeField]:
    """The fields of an audience that was made in Mailchimp's own pages."""
    return [
        MergeField(1, "FNAME", "First Name", display_order=2, options={"size": 25}),
        MergeField(2, "LNAME", "Last Name", display_order=3, options={"size": 25}),
        MergeField(3, "ADDRESS", "Address", MergeType.ADDRESS, options={"default_country": 164}),
        MergeField(4, "PHONE", "Phone Number", MergeType.PHONE, options={"phone_format": "none"}),
        MergeField(5, "BIRTHDAY", "Birthday", MergeType.BIRTHDAY, options={"date_format": "MM/DD"}),
    ]


def _text(value: str) -> str:
    # Cut at a byte, so that the last character may be lost.
    return value.encode()[:TEXT_BYTES].decode(errors="ignore")


def _number(value: Any, options: Mapping[str, Any]) -> Value:
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", value, re.ASCII):
        return float(value) if "." in value else int(value)
    raise ValueError("Please enter a number")


def _address(value: Any, options: Mapping[str, Any]) -> Value:
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        raise ValueError(ANY_OF)
    if not all(value.get(part, "").strip() for part in ("addr1", "city", "state", "zip")):
        raise ValueError("Please enter a complete address")
    filled = {part: value.get(part, "") for part in ("addr1", "addr2", "city", "state", "zip")}
    return filled | {"country": value.get("country") or "US"}


def _phone(value: Any, options: Mapping[str, Any]) -> Value:
    text = _text(str(value))
    if options.get("phone_format") == "US" and not re.fullmatch(r"\d{3}-\d{3}-\d{4}", text, re.ASCII):
        raise ValueError("Please enter a phone number in the format NNN-NNN-NNNN")
    return text


def _date(value: Any, options: Mapping[str, Any]) -> Value:
    for form in ("%Y-%m-%d", "%Y/%m/%d", "%d-%m-%Y", "%m/%d/%Y"):
        try:
            return datetime.strptime(str(value), form).date().isoformat()
        except ValueError:
            continue
    raise ValueError("Please enter a valid date")


def _birthday(value: Any, options: Mapping[str, Any]) -> Value:
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})", str(value), re.ASCII)
    try:
        # 29 February is a birthday: any leap year serves.
        day = date(2000, int(found[1]), int(found[2])) if found else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError("Please enter the month (01-12) and the day (01-31)")
    return day.strftime("%m/%d")


def _url(value: Any, options: Mapping[str, Any]) -> Value:
    if not re.fullmatch(r"https?://[^\s/?#]+\.[^\s]+", str(value)):
        raise ValueError("Please enter a valid URL")
    return _text(str(value))


def _choice(value: Any, options: Mapping[str, Any]) -> Value:
    choices = options.get("choices", [])
    if str(value) not in choices:
        raise ValueError(f"Value must be one of: {', '.join([*choices, ''])} (not {value})")
    return str(value)


def _zip(value: Any, options: Mapping[str, Any]) -> Value:
    if not re.fullmatch(r"\d{5}", str(value), re.ASCII):
        raise ValueError("Please enter a zip code (5 digits)")
    return str(value)


_CHECKS = {
    MergeType.NUMBER: _number,
    MergeType.ADDRESS: _address,
    MergeType.PHONE: _phone,
    MergeType.DATE: _date,
    MergeType.BIRTHDAY: _birthday,
    MergeType.URL: _url,
    MergeType.IMAGEURL: _url,
    MergeType.RADIO: _choice,
    MergeType.DROPDOWN: _choice,
    MergeType.ZIP: _zip,
}
