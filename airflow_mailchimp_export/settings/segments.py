"""Which profiles an export sends: named segments, and where each lies."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard, TypeVar, runtime_checkable

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import (
    choice,
    describe_type,
    from_json,
    is_blank,
    mapping,
    parse_setting,
    single_line,
    string_list,
)
from airflow_mailchimp_export.settings.file_options import (
    FILE_OPTIONS,
    FileFormat,
    FileOptions,
    parse_file_options,
)
from airflow_mailchimp_export.settings.insights_segments import (
    InsightsFilesSpec,
    InsightsSpec,
    parse_insights_files_spec,
    parse_insights_spec,
)
from airflow_mailchimp_export.settings.names import check_keys
from airflow_mailchimp_export.settings.queries import SqlSpec, parse_query
from airflow_mailchimp_export.tag_names import tag_key

if TYPE_CHECKING:
    import pandas as pd

MAX_TAG_LENGTH: Final = 100
"""Longest name of a tag: https://mailchimp.com/help/getting-started-tags/"""

__all__ = [
    "FileFormat",
    "FileOptions",
    "FileSpec",
    "InsightsFilesSpec",
    "InsightsSpec",
    "Segment",
    "SqlSpec",
    "TableSpec",
    "parse_retired",
    "parse_segments",
]

_T = TypeVar("_T")


@runtime_checkable
class ArrowData(Protocol):
    """A data frame or table that offers itself to Arrow: pandas.DataFrame, pyarrow.Table and their like.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand out the rows as an Arrow stream."""
        ...


def is_table(value: object) -> bool:
    """Whether a value is a data frame or table; those of pandas before 2.2 do not offer themselves to Arrow yet."""
    return isinstance(value, ArrowData) or is_pandas(value) or is_lake_table(value)


def is_lake_table(value: object) -> bool:
    """Whether a value is a ``deltalake.DeltaTable``, or a table or scan of pyiceberg."""
    return type(value).__module__.partition(".")[0] in {"deltalake", "pyiceberg"}


def is_pandas(value: object) -> TypeGuard[pd.DataFrame]:
    """Whether a value is a pandas.DataFrame."""
    # Whoever has a data frame has imported pandas; others need not wait for it.
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


@dataclass(frozen=True, slots=True)
class FileSpec:
    """Profiles in files.

    :param uri: a file, a folder, or a glob, on any object storage.
    :param format: ``None`` means that the files' extensions tell.
    :param conn_id: the Airflow connection of the object storage.
    :param options: how the files are written.
    """

    uri: str
    format: FileFormat | None = None
    conn_id: str | None = None
    options: FileOptions = FileOptions()

    def __repr__(self) -> str:
        """Spell it as before there were options, where none is set: runs are told apart by that."""
        options = "" if self.options == FileOptions() else f", options={self.options!r}"
        return f"FileSpec(uri={self.uri!r}, format={self.format!r}, conn_id={self.conn_id!r}{options})"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Profiles in memory; they are kept out of what is printed and compared."""

    table: Any = field(repr=False, compare=False)


SegmentSource: TypeAlias = FileSpec | SqlSpec | TableSpec | InsightsSpec | InsightsFilesSpec


@dataclass(frozen=True, slots=True)
class Segment:
    """A named set of profiles at the source.

    :param name: how the export names it.
    :param tag: the tag that its members carry in the audience.
    """

    name: str
    tag: str
    source: SegmentSource


def parse_segments(segments: Mapping[str, object] | str) -> tuple[Segment, ...]:
    """Check which profiles are to be exported.

    :param segments: the segments' names and, for each, a URI, a mapping with the keys uri, format, tag,
        conn_id and those of :class:`FileOptions`, a mapping with the keys sql, conn_id, parameters and tag, a mapping
        with the key segment and those of :class:`InsightsSpec` or :class:`InsightsFilesSpec`, or a data frame or
        table; mappings may be JSON text.
    :raises ConfigError: names the segment, what is wrong with it, and the remedy.
    """
    given = parse_setting("segments", segments, mapping)
    if not given:
        raise ConfigError("segments is empty", "Name at least one segment and where its profiles are")
    parsed = tuple(_segment(name, value) for name, value in given.items())
    _check_spellings(parsed)
    return parsed


def parse_retired(retire: object, segments: Iterable[Segment]) -> tuple[str, ...]:
    """Check which segments are retired; return their tags.

    :param retire: the names that they had as tags: a list, or its text.
    :param segments: those that the export has.
    :raises ConfigError: when one of them is a segment of the export still.
    """
    retired = () if is_blank(retire) else parse_setting("retire", retire, string_list)
    given = {tag_key(segment.tag): segment for segment in segments}
    for tag in retired:
        if segment := given.get(tag_key(tag)):
            raise ConfigError(
                f"retire names {tag!r}, which is the tag of segment {segment.name!r} of this export: one would give "
                "what the other takes",
                "Take the segment out of segments to retire it, or out of retire to keep it",
            )
    return tuple({tag_key(tag): tag for tag in retired}.values())


def _check_spellings(segments: Iterable[Segment]) -> None:
    """Two spellings of one tag would take it from each other's people."""
    first: dict[str, Segment] = {}
    for segment in segments:
        other = first.setdefault(tag_key(segment.tag), segment)
        if other.tag != segment.tag:
            raise ConfigError(
                f"segments {other.name!r} and {segment.name!r} have the tags {other.tag!r} and {segment.tag!r}, which "
                "are one tag to Mailchimp: it does not tell upper from lower case",
                "Spell it alike in both if they share the tag, or give one of them another tag",
            )


def _segment(name: str, value: object) -> Segment:
    where = f"segment {name!r}"
    value = parse_setting(where, value, from_json)
    if isinstance(value, Mapping):
        given = parse_setting(where, value, mapping)
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
            f"; given was {describe_type(raw)}."
        )
    return raw


def _plain_source(where: str, value: object) -> SegmentSource:
    if isinstance(value, str):
        return FileSpec(_uri(where, value))
    if isinstance(value, TableSpec):
        return value
    if is_table(value):
        return TableSpec(value)
    raise ConfigError(
        f"{where} must be a URI, a mapping with the key 'uri' or 'sql', or a data frame or table; "
        f"given was {describe_type(value)}."
    )


def _described_source(where: str, given: Mapping[str, object]) -> SegmentSource:
    if "sql" in given:
        return parse_query(where, given)
    if "segment" in given:
        return _of_insights(where, given)
    check_keys(where, given, allowed=("uri", "format", "tag", "conn_id", *FILE_OPTIONS))
    if is_blank(given.get("uri")):
        raise ConfigError(
            f"{where} has no 'uri'",
            "Say which file, folder or glob holds its profiles, or with 'sql' and 'conn_id' which query returns them",
        )
    return FileSpec(
        uri=_uri(where, given["uri"]),
        format=_optional(f"{where}: format", given.get("format"), choice(*FileFormat)),
        conn_id=_optional(f"{where}: conn_id", given.get("conn_id"), single_line),
        options=parse_file_options(where, given),
    )


def _of_insights(where: str, given: Mapping[str, object]) -> SegmentSource:
    if is_blank(given.get("uri")):
        return parse_insights_spec(where, given)
    return parse_insights_files_spec(where, given, _uri(where, given["uri"]))


def _optional(name: str, value: object, parse: Callable[[object], _T]) -> _T | None:
    return None if is_blank(value) else parse_setting(name, value, parse)


def _uri(where: str, value: object) -> str:
    uri = parse_setting(f"{where}: uri", value, single_line)
    if not uri or uri[0] in "{[":
        raise ConfigError(
            f"{where}: uri must name a file, a folder or a glob; given was {describe_type(value)}"
            f"{', which looks like a mapping or list that became text' if uri else ''}."
        )
    if re.match(r"[a-z0-9+.-]+://[^/]*:[^/]*@", uri, re.IGNORECASE):
        raise ConfigError(
            f"{where}: uri holds a password",
            "Keep it in an Airflow connection and name its conn_id",
        )
    return uri
