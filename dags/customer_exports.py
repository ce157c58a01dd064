"""Reads ``exports.yaml`` for the two DAGs beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Asset

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A named set of profiles.

    :param key: names the task, the file and the asset.
    :param name: the tag in Mailchimp.
    :param where: the condition that its profiles meet, in DuckDB's SQL.
    """

    key: str
    name: str
    description: str
    where: str
    snapshot: Path

    @property
    def asset(self) -> Asset:
        """Where the segment comes from, for lineage; it starts nothing, and stays the same when the file moves."""
        return Asset(name=f"segment_{self.key}", group="segment")


@dataclass(frozen=True, slots=True)
class Exports:
    """What ``exports.yaml`` says.

    :param pool: the Airflow pool through which the exports of one account share its connections.
    :param connections: how many of them one export uses.
    """

    profiles: Path
    segments: tuple[Segment, ...]
    mailchimp_conn_id: str
    audience_id: str | None
    field_map: Mapping[str, Any]
    pool: str
    connections: int

    @property
    def asset(self) -> Asset:
        """What a refresh publishes once all its segments are built, and what starts the export."""
        return Asset(name="customer_segments", group="segment")

    @property
    def names(self) -> list[str]:
        """The names of all segments."""
        return [segment.name for segment in self.segments]

    def snapshots_of(self, names: Sequence[str]) -> dict[str, str]:
        """The file of each of these segments, in the order in which they are configured."""
        return {segment.name: str(segment.snapshot) for segment in self.segments if segment.name in names}

    def segment(self, key: str) -> Segment:
        """The segment of this key."""
        return next(segment for segment in self.segments if segment.key == key)


def read_exports(path: Path) -> Exports:
    """Read the file.

    :raises LookupError: an entry is missing, or an environment variable without a default is not set.
    """
    content = _expand(yaml.safe_load(path.read_text(encoding="utf-8")))
    snapshots = _beside(path, content["snapshots"])
    return Exports(
        profiles=_beside(path, content["profiles"]),
        segments=tuple(_to_segment(key, entry, snapshots) for key, entry in content["segments"].items()),
        mailchimp_conn_id=content["mailchimp_conn_id"],
        audience_id=content["audience_id"] or None,
        field_map=content["field_map"],
        pool=content["pool"],
        connections=int(content["connections"]),
    )


def _to_segment(key: str, entry: Mapping[str, str], snapshots: Path) -> Segment:
    return Segment(
        key=key,
        name=entry["name"],
        description=entry["description"],
        where=entry["where"],
        snapshot=snapshots / f"{key}.parquet",
    )


def _beside(file: Path, path: str) -> Path:
    return Path(os.path.normpath(file.parent.resolve() / path))


def _expand(value: Any) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(_variable, value)
    if isinstance(value, dict):
        return {key: _expand(entry) for key, entry in value.items()}
    return value


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match["name"]) or match["default"]
    if value is None:
        raise LookupError(f"exports.yaml names the environment variable {match['name']}, which is not set.")
    return value
