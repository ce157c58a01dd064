"""The definition of an export, checked and complete: its segments, its options, its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

from airflow_mailchimp_export.coercion import (
    choice,
    fitting,
    is_blank,
    kind,
    line,
    mapping,
    number,
    switch,
    whole_number,
)
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.model import MemberStatus

MAX_TAG_LENGTH: Final = 100
"""Longest name of a tag: https://mailchimp.com/help/getting-started-tags/"""

MAX_EXPORT_NAME_LENGTH: Final = 200
"""Longest folder name made of an export's name; file systems end at 255 bytes."""

_T = TypeVar("_T")


class OnLeave(StrEnum):
    """What becomes of people who are in none, or no longer in one, of the segments."""

    UNTAG = "untag"
    ARCHIVE = "archive"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is seldom changed about an export.

    :param new_member_status: the status of people who are new to the audience: subscribed, pending
        (Mailchimp asks them first) or transactional.
    :param max_profiles: most profiles over all segments; more and nothing is sent.
    :param max_removal_ratio: the part of the people whom this export put there, 0 to 1, that may leave in one
        run; more and nothing is sent. 1 allows everything, even an empty segment.
    :param max_reject_ratio: the part of the profiles, 0 to 1, that may be refused before the run has failed.
    :param create_merge_fields: whether merge fields that the audience lacks are created.
    :param skip_merge_validation: whether Mailchimp accepts members without the audience's required fields.
    :param profile_id: a column that stays the same when a person's address changes; ``None`` for none.
    :param adopt_existing_tag: whether, on the first run, people who carry a segment's tag already count as put
        there by this export.
    :param keep_runs: how many run folders are kept.
    """

    new_member_status: MemberStatus = MemberStatus.SUBSCRIBED
    max_profiles: int = 1_000_000
    max_removal_ratio: float = 0.3
    max_reject_ratio: float = 0.5
    create_merge_fields: bool = False
    skip_merge_validation: bool = False
    profile_id: str | None = None
    adopt_existing_tag: bool = False
    keep_runs: int = 30

    @classmethod
    def from_value(cls, value: ExportOptions | Mapping[str, object] | None) -> ExportOptions:
        """Check options; null and empty text count as unset.

        :raises ConfigError: names the option, what it must be, and what kind of value was given.
        """
        raw = asdict(value) if isinstance(value, cls) else value
        given = {} if raw is None else fitting("options", raw, mapping)
        _check_keys("options", given, allowed=tuple(OPTIONS))
        checked: dict[str, Any] = {
            name: fitting(f"options: {name}", set_to, OPTIONS[name])
            for name, set_to in given.items()
            if not is_blank(set_to)
        }
        return cls(**checked)


OPTIONS: Final[Mapping[str, Callable[[object], object]]] = {
    "new_member_status": choice(MemberStatus.SUBSCRIBED, MemberStatus.PENDING, MemberStatus.TRANSACTIONAL),
    "max_profiles": whole_number(1),
    "max_removal_ratio": number(0, 1),
    "max_reject_ratio": number(0, 1),
    "create_merge_fields": switch,
    "skip_merge_validation": switch,
    "profile_id": line,
    "adopt_existing_tag": switch,
    "keep_runs": whole_number(1),
}
"""What makes each option's value of what was set."""


class FileFormat(StrEnum):
    """How profiles are written in files."""

    PARQUET = "parquet"
    CSV = "csv"


@runtime_checkable
class ArrowData(Protocol):
    """A data frame or table that offers itself to Arrow: pandas.DataFrame, pyarrow.Table and their like.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand out the rows as an Arrow stream."""
        ...


@dataclass(frozen=True, slots=True)
class FileSpec:
    """Profiles in files.

    :param uri: a file, a folder, or a glob, on any object storage.
    :param format: ``None`` means that the files' extensions tell.
    :param conn_id: the Airflow connection of the object storage.
    """

    uri: str
    format: FileFormat | None = None
    conn_id: str | None = None


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Profiles in memory; they are kept out of what is printed and compared."""

    table: ArrowData = field(repr=False, compare=False)


SegmentSource: TypeAlias = FileSpec | TableSpec


@dataclass(frozen=True, slots=True)
class Segment:
    """A named set of profiles at the source.

    :param name: how the export names it.
    :param tag: the tag that its members carry in the audience.
    """

    name: str
    tag: str
    source: SegmentSource


def parse_segments(segments: Mapping[str, object]) -> tuple[Segment, ...]:
    """Check which profiles are to be exported.

    :param segments: the segments' names and, for each, a URI, a mapping with the keys uri, format, tag and
        conn_id, or a data frame or table.
    :raises ConfigError: names the segment, what is wrong with it, and the remedy.
    """
    if isinstance(segments, str):
        raise ConfigError(
            "segments must be a mapping, not text: a template gives text unless its DAG has "
            "render_template_as_native_obj=True."
        )
    given = fitting("segments", segments, mapping)
    if not given:
        raise ConfigError("segments is empty: name at least one segment and where its profiles are.")
    return tuple(_segment(name, value) for name, value in given.items())


def parse_export_name(name: str) -> str:
    """Make the name of an export's folder: two names never share one.

    Letters, digits and ``._-`` stay; each other byte becomes ``~`` and two hexadecimal digits; of a name that
    gets too long, the end becomes a digest.

    :raises ConfigError: the name is empty or no text.
    """
    named = fitting("export_name", name, line)
    if not named:
        raise ConfigError("export_name is empty: leave it out to get <dag_id>.<task_id>, or give it a name.")
    safe = re.sub(rb"[^A-Za-z0-9._-]", lambda match: b"~%02x" % match[0][0], named.encode()).decode()
    if not safe.strip("."):
        return safe.replace(".", "~2e")
    if len(safe) <= MAX_EXPORT_NAME_LENGTH:
        return safe
    digest = hashlib.sha256(safe.encode()).hexdigest()[:32]
    return f"{safe[: MAX_EXPORT_NAME_LENGTH - len(digest) - 2]}~~{digest}"


def _segment(name: str, value: object) -> Segment:
    where = f"segment {name!r}"
    if isinstance(value, Mapping):
        given = fitting(where, value, mapping)
        return Segment(name, _tag(where, given.get("tag"), name), _described_source(where, given))
    return Segment(name, _tag(where, None, name), _plain_source(where, value))


def _tag(where: str, tag: object, name: str) -> str:
    raw = name if tag is None else tag
    fits = (
        isinstance(raw, str) and 1 <= len(raw) <= MAX_TAG_LENGTH and raw.isprintable() and raw == raw.strip()
    )
    if not (isinstance(raw, str) and fits):
        raise ConfigError(
            f"{where}: {'its name' if tag is None else 'tag'} cannot be a tag in Mailchimp: it must be text "
            f"of 1 to {MAX_TAG_LENGTH} characters, without control characters, and without blanks at its ends"
            f"; given was {kind(raw)}."
        )
    return raw


def _plain_source(where: str, value: object) -> SegmentSource:
    if isinstance(value, str):
        return FileSpec(_uri(where, value))
    if isinstance(value, TableSpec):
        return value
    if isinstance(value, ArrowData):
        return TableSpec(value)
    raise ConfigError(
        f"{where} must be a URI, a mapping with the key 'uri', or a data frame or table; "
        f"given was {kind(value)}."
    )


def _described_source(where: str, given: Mapping[str, object]) -> SegmentSource:
    if "sql" in given:
        raise ConfigError(
            f"{where}: SQL sources are not supported yet; name files with the key 'uri' instead."
        )
    _check_keys(where, given, allowed=("uri", "format", "tag", "conn_id"))
    if is_blank(given.get("uri")):
        raise ConfigError(f"{where} has no 'uri': say which file, folder or glob holds its profiles.")
    return FileSpec(
        uri=_uri(where, given["uri"]),
        format=_optional(f"{where}: format", given.get("format"), choice(*FileFormat)),
        conn_id=_optional(f"{where}: conn_id", given.get("conn_id"), line),
    )


def _optional(name: str, value: object, parse: Callable[[object], _T]) -> _T | None:
    return None if is_blank(value) else fitting(name, value, parse)


def _uri(where: str, value: object) -> str:
    uri = fitting(f"{where}: uri", value, line)
    if not uri or uri[0] in "{[":
        raise ConfigError(
            f"{where}: uri must name a file, a folder or a glob; given was {kind(value)}"
            f"{', which looks like a mapping or list that became text' if uri else ''}."
        )
    if re.match(r"[a-z0-9+.-]+://[^/]*:[^/]*@", uri, re.IGNORECASE):
        raise ConfigError(
            f"{where}: uri holds a password: keep it in an Airflow connection and name its conn_id."
        )
    return uri


def _check_keys(where: str, given: Mapping[str, object], *, allowed: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ConfigError(
            f"{where} has unknown keys: {', '.join(unknown)}. Allowed are {', '.join(allowed)}."
        )
