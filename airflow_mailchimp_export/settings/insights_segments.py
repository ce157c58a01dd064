"""Segments of Customer Insights: which one, and from where it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    InvalidValue,
    boolean,
    choice,
    is_blank,
    matching,
    number,
    parse_setting,
    single_line,
)
from airflow_mailchimp_export.settings.file_options import FILE_OPTIONS
from airflow_mailchimp_export.settings.names import check_keys

MOST_MISSING: Final = 0.0
"""How many of a segment's members may lack a profile unless an export says otherwise: they would lose its tag."""


class ProfileRead(StrEnum):
    """How profiles are read."""

    AUTO = "auto"
    SCAN = "scan"
    BY_ID = "by_id"


@dataclass(frozen=True, slots=True)
class InsightsSpec:
    """Profiles behind the Dataverse Web API.

    :param conn_id: the connection to Customer Insights.
    :param segment: the name of the segment's output table.
    :param max_missing_profiles: members who may lack a profile: below 1 a share of them, else their number.
    :param profile_read: whether profiles are asked for by id, or all of them are read.
    :param may_be_empty: whether a segment without members is one, and not a name that was mistyped.
    :param timezone: the zone whose days count.
    """

    conn_id: str
    segment: str
    max_missing_profiles: float = MOST_MISSING
    profile_read: ProfileRead = ProfileRead.AUTO
    may_be_empty: bool = False
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class InsightsFilesSpec:
    """Profiles in the files that Customer Insights exports to a storage.

    :param uri: the folder of the export, with ``model.json`` in it.
    :param segment: the name of the segment's output table.
    :param conn_id: the Airflow connection of the storage.
    :param max_age: hours that the newest snapshot may be old; ``None`` for any number.
    :param header: whether the files begin with the columns' names; ``None`` means that ``model.json`` and they tell.
    :param timezone: the zone whose days count.
    """

    uri: str
    segment: str
    conn_id: str | None = None
    max_age: float | None = None
    header: bool | None = None
    timezone: str | None = None


_TABLE_NAME: Final = matching(
    re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}", re.ASCII),
    "the output table name of a segment, of letters, digits and underscores, such as High_value: not the name "
    "that people see (python -m airflow_mailchimp_export.customer_insights segments CONN lists them)",
)


def _missing(value: object) -> float:
    most = number(0, 1e9)(value)
    if most >= 1 and not most.is_integer():
        raise InvalidValue("a share below 1, such as 0.001, or a whole number of members")
    return most


_HOURS: Final = {"m": 1 / 60, "h": 1.0, "d": 24.0}


def _age(value: object) -> float:
    match = (
        re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhd])", value.strip().lower()) if isinstance(value, str) else None
    )
    hours = float(match[1]) * _HOURS[match[2]] if match else 0.0
    if hours <= 0:
        raise InvalidValue("an age with its unit, such as '26h', '90m' or '2d'")
    return hours


_OVER_API: Final[Mapping[str, Callable[[object], Any]]] = {
    "conn_id": single_line,
    "segment": _TABLE_NAME,
    "max_missing_profiles": _missing,
    "profile_read": choice(*ProfileRead),
    "may_be_empty": boolean,
    "timezone": FILE_OPTIONS["timezone"],
}

_IN_FILES: Final[Mapping[str, Callable[[object], Any]]] = {
    "conn_id": single_line,
    "segment": _TABLE_NAME,
    "max_age": _age,
    "header": boolean,
    "timezone": FILE_OPTIONS["timezone"],
}


def parse_insights_spec(where: str, given: Mapping[str, object]) -> InsightsSpec:
    """Check a segment that is read over the Web API.

    :param where: names the segment.
    :raises ConfigError: names the key and what it must be.
    """
    check_keys(where, given, allowed=("tag", *_OVER_API))
    parsed = _parsed(where, given, _OVER_API)
    if "conn_id" not in parsed:
        raise ConfigError(
            f"{where} has no 'conn_id'",
            "Name the Airflow connection to Customer Insights; or, for files that it exports, their folder with 'uri'",
        )
    return InsightsSpec(**_with_name(where, parsed))


def parse_insights_files_spec(where: str, given: Mapping[str, object], uri: str) -> InsightsFilesSpec:
    """Check a segment that is read from exported files.

    :param where: names the segment.
    :param uri: the folder of the export, checked.
    :raises ConfigError: names the key and what it must be.
    """
    check_keys(where, given, allowed=("tag", "uri", *_IN_FILES))
    return InsightsFilesSpec(uri=uri, **_with_name(where, _parsed(where, given, _IN_FILES)))


def _parsed(
    where: str, given: Mapping[str, object], parsers: Mapping[str, Callable[[object], Any]]
) -> dict[str, Any]:
    return {
        key: parse_setting(f"{where}: {key}", given[key], parse)
        for key, parse in parsers.items()
        if not is_blank(given.get(key))
    }


def _with_name(where: str, parsed: dict[str, Any]) -> dict[str, Any]:
    if "segment" not in parsed:
        raise ConfigError(f"{where} has no 'segment'", "Name the segment's output table in Customer Insights")
    return parsed
