"""Single values of a configuration, each parsed by the rule that holds for it everywhere else in the package."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from croniter import croniter
from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema

from airflow_mailchimp_export.config.alerts import Alert, parse_alerts, schema_of_alerts
from airflow_mailchimp_export.config.mistakes import KeyPath, Problem, Problems, problem_of, unknown_key
from airflow_mailchimp_export.config.versions import APPROVAL, check_need
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.fields.columns import parse_column
from airflow_mailchimp_export.fields.merge_field import parse_merge_field
from airflow_mailchimp_export.model import Delivery
from airflow_mailchimp_export.options import OPTIONS, ExportOptions, OnLeave, parse_on_leave
from airflow_mailchimp_export.rules import NEW_MEMBER_STATUSES
from airflow_mailchimp_export.settings import connection
from airflow_mailchimp_export.settings.approval import ApprovalMode
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    boolean,
    choice,
    is_blank,
    matching,
    number,
    parse_setting,
    single_line,
    string_list,
    whole_number,
)
from airflow_mailchimp_export.settings.segments import parse_segments

_T = TypeVar("_T")

WITH_REFRESH, BY_HAND = "with_refresh", "by_hand"

PRESETS: Final = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
"""Those of Airflow's that come again; ``@once`` would run when an export is switched on, ``@continuous`` always."""

_CRON_FIELDS = 5

_KEY = matching(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}", re.ASCII),
    "1 to 100 letters, digits, hyphens and underscores, without a hyphen at the beginning",
)


def key_problems(path: KeyPath, key: str) -> Iterator[Problem]:
    """Say what is wrong with the key of an entry, which names files, tasks and DAGs."""
    return problem_of(path, lambda: _KEY(key))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue("text")
    return value.strip()


def _schedule(value: object) -> str:
    return BY_HAND if value == BY_HAND else _repeated(value, f"{WITH_REFRESH!r}, ", also=WITH_REFRESH)


def _refresh_schedule(value: object) -> str:
    return BY_HAND if value == BY_HAND else _repeated(value)


def _repeated(value: object, words: str = "", *, also: str = "") -> str:
    text = value.strip() if isinstance(value, str) else ""
    is_cron = len(text.split()) == _CRON_FIELDS and croniter.is_valid(text)
    if not (is_cron or text in PRESETS or (also and text == also)):
        raise InvalidValue(
            f"{words}{BY_HAND!r}, one of {', '.join(PRESETS)}, "
            "or a cron expression of five fields such as '0 6 * * 1-5' (UTC)"
        )
    return text


def _tag_of_segment(value: object) -> str:
    name = single_line(value)
    checked(lambda: parse_segments({name: "anywhere.parquet"}))
    return name


def _tags(value: object) -> tuple[str, ...]:
    return tuple(_tag_of_segment(name) for name in _names(value))


def _approval(value: object) -> ApprovalMode:
    mode: ApprovalMode = choice(*ApprovalMode)(value)
    check_need(APPROVAL)
    return mode


def _names(value: object) -> tuple[str, ...]:
    names = string_list(value)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Problems(
            Problem((number,), f"{name!r} stands there twice: remove one")
            for number, name in enumerate(names)
            if name in twice and name in names[:number]
        )
    return names


def _options(value: object) -> ExportOptions:
    if isinstance(value, ExportOptions):
        return value
    if not isinstance(value, Mapping):
        raise InvalidValue("a mapping of options")
    given = {
        name: set_to
        for name, set_to in value.items()
        if name not in OPTIONS_OF_ENTRIES or not is_blank(set_to)
    }
    if problems := list(_option_problems(given)):
        raise Problems(problems)
    return ExportOptions.from_value(given)


def _option_problems(given: Mapping[str, object]) -> Iterator[Problem]:
    for name, set_to in given.items():
        if name == "profile_id":
            yield Problem(
                (name,), unknown_key(name, OPTIONS_OF_ENTRIES, elsewhere="one of the export itself")
            )
        elif name not in OPTIONS_OF_ENTRIES:
            yield Problem((name,), unknown_key(name, OPTIONS_OF_ENTRIES))
        else:
            yield from problem_of(
                (name,), partial(parse_setting, name, set_to, OPTIONS[name]), plain=plain_words
            )


OPTIONS_OF_ENTRIES: Final = tuple(name for name in OPTIONS if name != "profile_id")
"""``profile_id`` is a key of the export itself, beside the other columns."""


def _column(value: object) -> str:
    return checked(lambda: parse_column("EMAIL", value))


def _source_of(tag: str) -> BeforeValidator:
    def parse(value: object) -> object:
        checked(lambda: parse_merge_field(tag, value))
        return value

    return BeforeValidator(parse)


def _fields(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValue("a mapping of merge tags and columns, like {PHONE: phone}")
    if problems := [problem for tag, given in value.items() for problem in _field_problems(tag, given)]:
        raise Problems(problems)
    return {str(tag).upper(): given for tag, given in value.items()}


def _field_problems(tag: object, given: object) -> Iterator[Problem]:
    if str(tag).upper() == "EMAIL":
        yield Problem((str(tag),), "is filled by the key email of the export: remove it here")
    else:
        yield from problem_of((str(tag),), lambda: parse_merge_field(tag, given), plain=plain_words)


def plain_words(error: ConfigError) -> str:
    """Return what a rule says, without the name that its setting has at the operator."""
    text = str(error).removeprefix("field_map: ").rstrip(".")
    return re.sub(r"^\w+ (?=must be )", "", text)


def checked(parse: Callable[[], _T], *, plain: Callable[[ConfigError], str] = plain_words) -> _T:
    """Let a rule of the package parse a value; what it says is the problem."""
    try:
        return parse()
    except ConfigError as error:
        raise Problems([Problem((), plain(error))]) from error


def _schema_of_options() -> dict[str, Any]:
    told = dict(re.findall(r":param (\w+): ((?:.|\n(?!\s*(?::param|$)))+)", ExportOptions.__doc__ or ""))
    schema = TypeAdapter(ExportOptions).json_schema()
    properties = {name: schema["properties"][name] for name in OPTIONS_OF_ENTRIES}
    statuses = [str(status) for status in NEW_MEMBER_STATUSES]
    properties["new_member_status"] = {"enum": statuses, "default": statuses[0]}
    for name, one in properties.items():
        one.pop("title", None)
        one["description"] = " ".join(told[name].split())
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _string_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


_SOURCE: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string"}, {"type": "object"}],
}

Line = Annotated[str, BeforeValidator(single_line)]
Text = Annotated[str, BeforeValidator(_text)]
Ratio = Annotated[float, BeforeValidator(number(0, 1_000_000))]
Count = Annotated[int, BeforeValidator(whole_number(1))]
Hours = Annotated[float, BeforeValidator(number(0, 1_000_000))]
Seconds = Annotated[float, BeforeValidator(number(1, 86_400))]
Switch = Annotated[bool, BeforeValidator(boolean)]
Key = Annotated[str, BeforeValidator(_KEY)]
Names = Annotated[
    tuple[str, ...], BeforeValidator(_names), WithJsonSchema({"type": "array", "items": {"type": "string"}})
]
TagName = Annotated[str, BeforeValidator(_tag_of_segment)]
TagNames = Annotated[
    tuple[str, ...], BeforeValidator(_tags), WithJsonSchema({"type": "array", "items": {"type": "string"}})
]
Connections = Annotated[
    int,
    Field(ge=1, le=connection.MAX_CONNECTIONS),
    BeforeValidator(whole_number(1, connection.MAX_CONNECTIONS)),
]
AudienceId = Annotated[
    str,
    BeforeValidator(connection.audience_id),
    WithJsonSchema({"type": ["string", "integer"]}),
]
Column = Annotated[str, BeforeValidator(_column), _string_schema()]
FirstName = Annotated[Any, _source_of("FNAME"), WithJsonSchema(_SOURCE)]
LastName = Annotated[Any, _source_of("LNAME"), WithJsonSchema(_SOURCE)]
Fields = Annotated[
    dict[str, Any],
    BeforeValidator(_fields),
    WithJsonSchema({"type": "object", "additionalProperties": _SOURCE}),
]
RemovalWord = Annotated[str, BeforeValidator(parse_on_leave), WithJsonSchema({"enum": [*OnLeave]})]
ApprovalWord = Annotated[ApprovalMode, BeforeValidator(_approval)]
Alerts = Annotated[tuple[Alert, ...], BeforeValidator(parse_alerts), WithJsonSchema(schema_of_alerts())]
WaitingHours = Annotated[float, Field(ge=0.01, le=720), BeforeValidator(number(0.01, 720))]
DeliveryWord = Annotated[Delivery, BeforeValidator(choice(*Delivery))]
Schedule = Annotated[
    str, BeforeValidator(_schedule), _string_schema(examples=[WITH_REFRESH, BY_HAND, "@daily", "0 6 * * 1-5"])
]
RefreshSchedule = Annotated[
    str, BeforeValidator(_refresh_schedule), _string_schema(examples=["@daily", "0 4 * * *", BY_HAND])
]
Options = Annotated[ExportOptions, BeforeValidator(_options), WithJsonSchema(_schema_of_options())]
