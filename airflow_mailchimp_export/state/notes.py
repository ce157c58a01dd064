"""What a run notes on its way, in small files that hold nobody: how far it came, and how far its batches were."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from airflow_mailchimp_export.errors import UnreadableFile
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.json_format import JsonFormat

log = logging.getLogger(__name__)

BEGUN = "begun.json"

WATCH = "watch.json"

SOON = 8
"""How many chunks before it is needed a note is written, at most."""

_BEGUN_FORMAT = JsonFormat()

_WATCH_FORMAT = JsonFormat()

_REMEDY = "The run goes on without it"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Begun:
    """Below which number chunks may have been sent."""

    chunks: int


@dataclass(frozen=True, slots=True)
class _Watch:
    """How far batches were, and when something last moved, in seconds since the epoch.

    :param began_at: since when they are looked at; ``None`` in what was written before it was noted.
    :param furthest: how far they ever were; numbers only.
    """

    moved_at: float
    seen: dict[str, tuple[str, int, int, int]]
    began_at: float | None = None
    furthest: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)


class BegunMark:
    """Below which number the chunks of a run may have been sent: those above were surely not; from any thread.

    The mark is on the storage before a chunk is sent, so that it holds whatever ends the process.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._read = False
        self._chunks: int | None = None

    @property
    def chunks(self) -> int | None:
        """The mark; ``None`` where there is none, as in runs of release 0.1.0: any chunk may have been sent then."""
        if not self._read:
            with self._lock:
                self._read_mark()
        return self._chunks

    def start(self) -> None:
        """Note that nothing was sent yet."""
        self._put(0)

    def reach(self, number: int, *, ahead: int = 0) -> None:
        """Note that a chunk may be sent from now on.

        Nobody waits for the note of another chunk but who has none yet, and one thread writes the next note before it
        is needed: threads that wait together would go on together, and then wait together ever after.

        :param ahead: for how many chunks behind it no further note is wanted.
        :raises ConfigError: when the place cannot be written to; then it may not be sent.
        """
        soon = number + min(ahead // 2, SOON)
        if self._reaches(soon):
            return
        if self._lock.acquire(blocking=not self._reaches(number)):
            try:
                if not self._reaches(soon):
                    self._put(number + 1 + ahead)
            finally:
                self._lock.release()

    def _read_mark(self) -> None:
        """Read the mark, unless another thread has, and may have moved it since."""
        if not self._read:
            found = _load(self._folder, BEGUN, _BEGUN_FORMAT, _Begun)
            self._chunks, self._read = found.chunks if found else None, True

    def _reaches(self, number: int) -> bool:
        """Whether a chunk is noted, or nothing can be noted."""
        return self.chunks is None or number < self.chunks

    def _put(self, chunks: int) -> None:
        self._folder.put(BEGUN, _BEGUN_FORMAT.encode(_Begun(chunks)))
        self._chunks, self._read = chunks, True


class WatchNote:
    """What was seen of a run's batches, by whoever asked Mailchimp whether the run is alive."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def read(self) -> dict[str, Any] | None:
        """Return the record of the last look; ``None`` where nobody has looked, or it cannot be read."""
        found = _load(self._folder, WATCH, _WATCH_FORMAT, _Watch)
        if found is None:
            return None
        record: dict[str, Any] = {"moved_at": found.moved_at, "seen": found.seen}
        if found.began_at is not None:
            record |= {"began_at": found.began_at, "furthest": found.furthest}
        return record

    def put(self, record: Mapping[str, Any]) -> None:
        """Keep the record of a look."""
        self._folder.put(WATCH, _WATCH_FORMAT.encode(msgspec.convert(record, _Watch)))


def _load(folder: Folder, name: str, format_: JsonFormat, kind: type[T]) -> T | None:
    try:
        return format_.decode(folder.read(name), kind, where=f"{folder.uri}/{name}", remedy=_REMEDY)
    except FileNotFoundError:
        return None
    except UnreadableFile as error:
        log.warning("%s", error)
        return None
    except OSError as error:
        log.warning("%s/%s cannot be read (%s). %s", folder.uri, name, error.strerror, _REMEDY)
        return None
