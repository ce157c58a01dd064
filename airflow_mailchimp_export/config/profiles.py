"""Where profiles are, as keys of a configuration: in files, with all options that files have, or in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from airflow_mailchimp_export.config.entry import Entry
from airflow_mailchimp_export.config.mistakes import Problem, Problems, problem_of
from airflow_mailchimp_export.config.values import Line, Text, checked
from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.settings.coercion import choice
from airflow_mailchimp_export.settings.file_options import (
    FILE_OPTIONS,
    MAY_BE_BLANK,
    Compression,
    FileFormat,
    parse_file_options,
)
from airflow_mailchimp_export.settings.segments import parse_segments

NAME = "files"
"""What stands for the name of a segment where the package's rules check the keys by themselves."""


def _uri(value: object) -> object:
    checked(lambda: parse_segments({NAME: {"uri": value}}), plain=plain)
    return value


def plain(error: ConfigError) -> str:
    """Return what a rule says of a segment's files, without the segment, which stands before it anyway."""
    text = str(error)
    for beginning in (f"segment {NAME!r}: ", f"segment {NAME!r} ", f"{NAME}: ", "uri "):
        text = text.removeprefix(beginning)
    return text.rstrip(".")


_PARSERS: Mapping[str, Callable[[object], object]] = {"format": choice(*FileFormat), **FILE_OPTIONS}

_TEXT, _SWITCH, _NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}
_MARK = {"anyOf": [_TEXT, {"const": False}]}
_FORMATS = {"anyOf": [_TEXT, {"type": "object", "additionalProperties": _TEXT}]}


def _option(description: str, schema: dict[str, Any]) -> Any:
    return Field(default=None, description=description, json_schema_extra=schema)


class Files(Entry):
    """Files with profiles, and how they are written: the same keys as the segments of the operator have."""

    may_be_blank: ClassVar[frozenset[str]] = MAY_BE_BLANK

    uri: Annotated[str, BeforeValidator(_uri)] | None = Field(
        default=None, description="a file, a folder or a glob of profiles, on any storage"
    )
    format: Any = _option("how the files are written, unless their names tell", {"enum": [*FileFormat]})
    conn_id: Line | None = Field(
        default=None, description="the Airflow connection of the files' storage, or of the database"
    )
    delimiter: Any = _option("what parts the values", _TEXT)
    encoding: Any = _option("such as utf-16 or windows-1252", _TEXT)
    quote: Any = _option("what values are put in", _MARK)
    escape: Any = _option("what takes the meaning of the character behind it", _MARK)
    header: Any = _option("whether the first row names the columns", _SWITCH)
    columns: Any = _option("their names, in place of a header", _TEXTS)
    null_values: Any = _option("words that stand for nothing", _TEXTS)
    skip_rows: Any = _option("how many lines stand before the header", _NUMBER)
    skip_footer: Any = _option("how many rows stand behind the profiles", _NUMBER)
    decimal: Any = _option("what parts the fraction of a number", {"enum": [".", ","]})
    date_format: Any = _option("how days are written: one format, or one for each column", _FORMATS)
    timezone: Any = _option("the zone whose days count", _TEXT)
    compression: Any = _option("how the files are packed, unless their names tell", {"enum": [*Compression]})
    sniff: Any = _option("whether delimiter, encoding and the like are found out", _SWITCH)

    @field_validator(*_PARSERS, mode="before")
    @classmethod
    def _check_option(cls, value: object, info: ValidationInfo) -> object:
        """Check a value, and leave it as it is for whoever parses all keys of a source together."""
        _PARSERS[str(info.field_name)](value)
        return value

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if problems := list(self._problems_of_files()):
            raise Problems(problems)
        return self

    def _problems_of_files(self) -> Iterator[Problem]:
        if not self.uri:
            for name in _PARSERS:
                if getattr(self, name) is not None:
                    yield Problem(
                        (name,), "is for files, and there is no uri: name them with uri, or remove it"
                    )
        else:
            yield from problem_of((), lambda: parse_file_options(NAME, self.given), plain=plain)

    @property
    def given(self) -> dict[str, Any]:
        """The keys that say where the files are and how they are written, as the operator takes them."""
        keys = ("uri", "conn_id", *_PARSERS)
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


class Profiles(Files):
    """The unified profiles: files, or what a database has."""

    table: Line | None = Field(default=None, description="the table of a database, as its SQL names it")
    sql: Text | None = Field(
        default=None, description="the query of a database that returns them; or the .sql file that has it"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_uri(cls, given: Any) -> Any:
        return {"uri": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        named = [key for key in ("uri", "table", "sql") if getattr(self, key)]
        if len(named) > 1:
            raise Problems(
                [Problem((named[1],), f"stands beside {named[0]}: profiles are in one place, remove one")]
            )
        if self.in_database and not self.conn_id:
            raise Problems(
                [Problem(("conn_id",), "is missing: add it (the Airflow connection of the database)")]
            )
        return self

    @property
    def in_database(self) -> bool:
        """Whether they are in a database, and rules run there."""
        return bool(self.table or self.sql)

    @property
    def is_set(self) -> bool:
        """Whether there are any."""
        return bool(self.uri or self.in_database)

    @property
    def named(self) -> str:
        """What a query of the database begins with, so that it knows all of them as ``profiles``."""
        return f"WITH profiles AS (\n{self.sql or f'SELECT * FROM {self.table}'}\n)"
