"""What a refresh says of itself once all its segments are built: ``refresh.json``, which is written last."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from airflow_mailchimp_export.state.json_format import JsonFormat

MANIFEST: Final = "refresh.json"

FORMAT: Final = JsonFormat()

_ID: Final = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}")

_MOMENT: Final = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One segment of a refresh.

    :param key: its key in the configuration.
    :param name: its name then.
    :param refresh: the refresh that built it, whose folder has its file; an earlier one where it was not built again.
    :param rows: how many profiles are in it.
    :param size: bytes of its file.
    :param options: the options of files that say how its values are spelled.
    :param warning: in what it differs too much from the refresh before; empty where it does not.
    """

    key: str
    name: str
    refresh: str
    rows: int
    size: int
    options: dict[str, Any] = field(default_factory=dict)
    warning: str = ""

    @property
    def file(self) -> str:
        """Its file, below the folder of all refreshes."""
        return f"{self.refresh}/{file_of(self.key)}"


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh of which every segment is there.

    :param id: its name, by which refreshes are sorted in time.
    :param as_of: of what moment its profiles are, in ISO 8601.
    :param run: which run of which DAG built it.
    :param finished_at: when all of it was there, in ISO 8601.
    :param rebuilt: the keys of the segments that it built; the others are those of the refresh before.
    :param exported_by: the run that exports it to everybody by itself; empty for none.
    """

    id: str
    as_of: str
    run: str
    segments: tuple[Snapshot, ...]
    finished_at: str
    rebuilt: tuple[str, ...] = ()
    exported_by: str = ""

    @property
    def built_by(self) -> str:
        """The DAG that built it, whose name has no dot."""
        return self.run.partition(".")[0]

    @property
    def by_key(self) -> Mapping[str, Snapshot]:
        """Its segments, by their keys."""
        return {snapshot.key: snapshot for snapshot in self.segments}

    @property
    def warnings(self) -> list[str]:
        """What somebody should look at."""
        return [snapshot.warning for snapshot in self.segments if snapshot.warning]


def new_id(now: datetime) -> str:
    """Make the name of a refresh that begins now."""
    moment = now.astimezone(UTC)
    return f"{moment.strftime(_MOMENT)}.{moment.microsecond // 1000:03}Z-{secrets.token_hex(4)}"


def is_id(name: str) -> bool:
    """Whether a refresh may have this name."""
    return bool(_ID.fullmatch(name))


def begun_at(refresh: str) -> datetime:
    """Return when a refresh began, by its name."""
    return datetime.strptime(refresh.partition("Z-")[0], f"{_MOMENT}.%f").replace(tzinfo=UTC)


def file_of(key: str) -> str:
    """Return the file of a segment within the folder of its refresh."""
    return f"{key}.parquet"
