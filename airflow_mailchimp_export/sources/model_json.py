"""What ``model.json`` says of the files beside it: https://learn.microsoft.com/common-data-model/model-json"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from airflow_mailchimp_export.settings.names import did_you_mean
from airflow_mailchimp_export.sources.location import SourceLocation, listed

MODEL: Final = "model.json"

MAX_BYTES: Final = 16 * 1024 * 1024

_FOLDER: Final = re.compile(r"(\d{4})/(\d{2})/(\d{2})/(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True)
class Partition:
    """A file of a table.

    :param path: below the folder of the export.
    :param refreshed: when it was written, as ``model.json`` says, else as the names of its folders do; ``None`` where
        nothing tells.
    :param has_header: whether it begins with the names of the columns; ``None`` where nothing tells.
    :param quote: what values are put in; empty for nothing.
    """

    path: str
    refreshed: datetime | None
    has_header: bool | None
    delimiter: str
    quote: str
    encoding: str

    @property
    def has_time(self) -> bool:
        """Whether it is in a folder that is named by the time of the run."""
        return bool(_FOLDER.search(self.folder))

    @property
    def folder(self) -> str:
        """The folder that it is in, which stands for one run of the export."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A table as it was exported last.

    :param columns: in the order of the files.
    """

    columns: tuple[str, ...]
    partitions: tuple[Partition, ...]

    @property
    def refreshed(self) -> datetime | None:
        """When the oldest of its files was written."""
        moments = [each.refreshed for each in self.partitions if each.refreshed]
        return min(moments) if moments and len(moments) == len(self.partitions) else None


def read_snapshot(text: bytes, table: str, *, export: str, location: SourceLocation) -> Snapshot:
    """Return the newest snapshot of a table.

    :param export: the name of the folder with ``model.json``.
    :raises SourceError: there is none, or it cannot be told what it is.
    """
    try:
        model = json.loads(text.decode("utf-8-sig"))
        entities = {str(entity["name"]): entity for entity in model["entities"]}
    except (UnicodeDecodeError, ValueError, LookupError, TypeError):
        raise location.error(
            f"{MODEL} is no model of tables: it may be half written; a retry reads it again."
        ) from None
    if table not in entities:
        raise location.error(
            f"{MODEL} has no table {table!r}{did_you_mean(table, entities)}; there are {listed(sorted(entities))}."
        )
    try:
        columns, partitions = _table(entities[table], export)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise location.error(
            f"{MODEL} describes table {table!r} in a way that is not documented ({type(error).__name__})."
        ) from None
    if not partitions:
        raise location.error(
            f"{MODEL} has no file of table {table!r}: export it from Customer Insights first."
        )
    return Snapshot(columns, _newest(partitions))


def _table(entity: Mapping[str, Any], export: str) -> tuple[tuple[str, ...], list[Partition]]:
    columns = tuple(str(attribute["name"]) for attribute in entity["attributes"])
    if not columns or len(set(columns)) < len(columns):
        raise ValueError("no columns, or one twice")
    given = [each for each in entity.get("partitions") or [] if each.get("location")]
    return columns, [_partition(each, export) for each in given]


def _partition(given: Mapping[str, Any], export: str) -> Partition:
    settings = given.get("fileFormatSettings") or {}
    path = _below(urlsplit(str(given["location"])).path, export)
    header = settings.get("columnHeaders")
    return Partition(
        path,
        _moment(given.get("refreshTime")) or _moment_of(path),
        header if isinstance(header, bool) else None,
        str(settings.get("delimiter") or ","),
        "" if settings.get("quoteStyle") == "QuoteStyle.None" else '"',
        str(settings.get("encoding") or "utf-8").lower(),
    )


def _below(path: str, export: str) -> str:
    """Return the part of a location below the folder of the export, wherever that lies now."""
    parts = unquote(path).strip("/").split("/")
    if export in parts:
        parts = parts[len(parts) - parts[::-1].index(export) :]
    elif _FOLDER.search("/".join(parts)):
        parts = parts[-6:]
    else:
        parts = parts[-1:]
    if not all(parts) or {".", ".."} & set(parts):
        raise ValueError("no path")
    return "/".join(parts)


def _newest(partitions: Sequence[Partition]) -> tuple[Partition, ...]:
    """Each run of the export writes everything into a folder of its own, named by its time; the newest counts."""
    timed = [each for each in partitions if each.has_time]
    if len(timed) < len(partitions):
        return tuple(partitions)
    newest = max(each.folder for each in timed)
    return tuple(each for each in timed if each.folder == newest)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        # Python knows no fractions of more than six digits, which .NET writes.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def _moment_of(path: str) -> datetime | None:
    match = _FOLDER.search(path)
    try:
        return datetime(*map(int, match.groups()), tzinfo=UTC) if match else None  # type: ignore[misc, arg-type]
    except ValueError:
        return None
