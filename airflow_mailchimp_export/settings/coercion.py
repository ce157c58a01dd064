"""Values that people and programs set, made into the types that the settings want.

Airflow hands over what stands in a form, a URI, an environment variable or a template: a number may come as
text and an unset field as ``null`` or ``""``.
Each function here makes a parser of one kind of value; :func:`parse_setting` says whose value it was when it fails.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

from airflow_mailchimp_export.errors import ConfigError

_T = TypeVar("_T")

_E = TypeVar("_E", bound=str)

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class InvalidValue(ValueError):
    """A value is not of the wanted kind; the text completes the sentence "... must be"."""


def is_blank(value: object) -> bool:
    """Whether nothing was set: null, an empty list, or text without a visible character."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list | tuple) and not value)


def describe_type(value: object) -> str:
    """Describe a value without showing it: it may be a key that was put into the wrong field."""
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value.strip() else "empty text"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a switch (true or false)"
    if isinstance(value, int | float):
        return "a whole number" if isinstance(value, int) else "a decimal number"
    return f"a value of type {type(value).__name__}"


def parse_setting(name: str, value: object, parse: Callable[[object], _T]) -> _T:
    """Parse a value.

    :param name: how the reader knows the setting, e.g. ``Timeout (timeout)``.
    :raises ConfigError: names the setting, what it must be, and what kind of value was given.
    """
    try:
        return parse(value)
    except InvalidValue as invalid:
        raise ConfigError(f"{name} must be {invalid}; given was {describe_type(value)}.") from invalid


def boolean(value: object) -> bool:
    """Parse true or false, also as their usual words and as 0 or 1."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int) and str(value).strip().lower() in _BOOLEANS:
        return _BOOLEANS[str(value).strip().lower()]
    raise InvalidValue("true or false")


def number(minimum: float, maximum: float) -> Callable[[object], float]:
    """Make a parser of numbers within bounds, both included."""

    def parse(value: object) -> float:
        parsed = _float(value)
        if not minimum <= parsed <= maximum:
            raise InvalidValue(f"a number from {minimum:g} to {maximum:g}")
        return parsed

    return parse


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[object], int]:
    """Make a parser of whole numbers within bounds, both included."""
    wanted = f"a whole number from {minimum} {'upwards' if maximum is None else f'to {maximum}'}"

    def parse(value: object) -> int:
        parsed = _float(value)
        if not (parsed.is_integer() and minimum <= parsed <= (math.inf if maximum is None else maximum)):
            raise InvalidValue(wanted)
        return int(parsed)

    return parse


def choice(*allowed: _E) -> Callable[[object], _E]:
    """Make a parser of one of a few words, whatever their case."""
    words = {str(member): member for member in allowed}

    def parse(value: object) -> _E:
        word = str(value).strip().lower().replace("-", "_")
        if word not in words:
            raise InvalidValue(" or ".join(map(repr, words)))
        return words[word]

    return parse


def single_line(value: object) -> str:
    """Parse one line of text, without the blanks around it."""
    if not isinstance(value, str) or not value.strip().isprintable():
        raise InvalidValue("one line of text")
    return value.strip()


def matching(pattern: re.Pattern[str], wanted: str) -> Callable[[object], str]:
    """Make a parser of text that a pattern describes wholly."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value.strip()):
            raise InvalidValue(wanted)
        return value.strip()

    return parse


def moment(value: object) -> str:
    """Parse a moment in ISO 8601 with its zone; returned is the same in UTC.

    In UTC, a moment of the first or the last day that Python knows may be beyond it: that is none.
    """
    with suppress(ValueError, OverflowError):
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(parsed, datetime) and parsed.tzinfo is not None:
            return parsed.astimezone(UTC).isoformat()
    raise InvalidValue("a moment with its zone in ISO 8601, such as 2026-01-02T06:00:00+00:00")


def string_list(value: object) -> tuple[str, ...]:
    """Parse a list of texts: a list, JSON text of one, or text parted by commas or line ends."""
    listed = _listed(value) if isinstance(value, str) else value
    if not isinstance(listed, Sequence) or not all(isinstance(word, str) for word in listed):
        raise InvalidValue("a list of names, or text with commas or line ends between them")
    return tuple(word.strip() for word in listed if word.strip())


def from_json(value: object) -> object:
    """Parse the JSON text of a mapping or list, as a template gives it; anything else stays as it is."""
    if not isinstance(value, str) or not value.strip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value, object_pairs_hook=_unique_keys)
    except InvalidValue:
        raise
    except ValueError as error:
        raise InvalidValue(
            "JSON where it begins with { or [: let the template write it, "
            "as {{ macros.json.dumps(params.segments) }} does"
        ) from error


def from_list_text(value: object) -> object:
    """Parse text of a list, as JSON or as a template without a filter writes it; anything else stays as it is."""
    try:
        return from_json(value)
    except InvalidValue:
        with suppress(ValueError, SyntaxError):
            return ast.literal_eval(str(value).strip())
        raise


def id_list(value: object) -> list[str]:
    """Parse a list of ids, or a list of such lists, as several tasks hand them over; also as a template's text."""
    value = from_list_text(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidValue("a list of ids, or of such lists")
    return [single for entry in value for single in ([entry] if isinstance(entry, str) else id_list(entry))]


def mapping(value: object) -> Mapping[str, object]:
    """Parse a mapping whose keys are texts, or JSON text of one."""
    value = from_json(value)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidValue("a mapping with names as keys")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(unique := dict(pairs)) < len(pairs):
        raise InvalidValue("JSON in which each name stands once")
    return unique


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValue("a number")
    try:
        parsed = float(value)
    except (ValueError, OverflowError) as error:
        raise InvalidValue("a number") from error
    if not math.isfinite(parsed):
        raise InvalidValue("a finite number")
    return parsed


def _listed(text: str) -> object:
    if not text.strip().startswith("["):
        return re.split(r"[,\n]", text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidValue("a list of names: what begins with [ has to be JSON") from error
