"""Folders of table formats: their files hold rows that were deleted, so that they are never read as plain files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from airflow_mailchimp_export.sources.location import SourceLocation
from airflow_mailchimp_export.sources.paths import StoragePath

_DELTA: Final = "_delta_log"
_HUDI: Final = ".hoodie"
_METADATA: Final = "metadata"

_REMEDIES: Final = {
    "Delta": "set 'format' to delta and 'uri' to the table's own folder",
    "Iceberg": "set 'format' to iceberg and 'uri' to the table's own folder or to its metadata file",
    "Hudi": "Hudi is not read: write what lives in it as Parquet",
}

_MAX_DEPTH: Final = 8


def check_no_table(start: StoragePath, location: SourceLocation) -> None:
    """Refuse a place that lies in a table, in one of its partitions or beside its data.

    :raises ConfigError: it does; which format it is, and the remedy.
    """
    folder = start
    for _ in range(_MAX_DEPTH):
        kind = _kind_of_folder(folder) if folder is start else _kind_if_allowed(folder)
        if kind:
            raise _refusal(kind, folder, location)
        above = folder.parent
        if folder is not start and "=" not in folder.name and folder.name != "data":
            return
        if str(above) == str(folder):
            return
        folder = above


def check_no_table_among(
    folder: StoragePath, children: Iterable[StoragePath], location: SourceLocation
) -> None:
    """Refuse a folder that holds a table's own files.

    :raises ConfigError: it does; which format it is, and the remedy.
    """
    for child in children:
        kind = {_DELTA: "Delta", _HUDI: "Hudi"}.get(child.name)
        if child.name == _METADATA and _has_iceberg(child):
            kind = "Iceberg"
        if kind:
            raise _refusal(kind, folder, location)


def _kind_if_allowed(folder: StoragePath) -> str | None:
    """Look above the place itself, where nobody needs to be allowed to."""
    with suppress(Exception):
        return _kind_of_folder(folder)
    return None


def _kind_of_folder(folder: StoragePath) -> str | None:
    if (folder / _DELTA).is_dir():
        return "Delta"
    if (folder / _HUDI).is_dir():
        return "Hudi"
    return "Iceberg" if _has_iceberg(folder / _METADATA) else None


def _has_iceberg(metadata: StoragePath) -> bool:
    return metadata.is_dir() and any(child.name.endswith(".metadata.json") for child in metadata.iterdir())


def _refusal(kind: str, folder: StoragePath, location: SourceLocation) -> Exception:
    return location.refusal(
        f"{str(folder)!r} is a table of the format {kind}, whose files hold deleted rows too: {_REMEDIES[kind]}."
    )
