"""The folder of all refreshes, on any storage.

::

    <refresh>/<segment>.parquet   the profiles of a segment
    <refresh>/refresh.json        written last: a refresh without it is not finished, and nobody reads it

Files are put in place as a whole, and those of a finished refresh do not change any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow_mailchimp_export.errors import ConfigError
from airflow_mailchimp_export.snapshots.manifest import FORMAT, MANIFEST, Refresh, begun_at, file_of, is_id
from airflow_mailchimp_export.state.folder import Folder

if TYPE_CHECKING:
    from upath import UPath

_TRIGGER: Final = "Trigger the DAG that refreshes the segments, and wait until it has succeeded"


class Snapshots:
    """The refreshes that are kept in a folder.

    :param location: a path, local or of any object store that fsspec knows.
    """

    def __init__(self, location: Path | UPath) -> None:
        self._root = Folder(location, setting="snapshots")

    @property
    def uri(self) -> str:
        """Where they are."""
        return self._root.uri

    @contextmanager
    def writing(self, refresh: str, key: str) -> Iterator[Path]:
        """Lend a local path for a segment; what is there at the end is put in place.

        :raises ConfigError: when the refresh is finished, or the place cannot be written to.
        """
        if self.is_finished(refresh):
            raise ConfigError(
                f"Refresh {refresh} is finished, and exports may be reading it, so that no segment of it is replaced",
                "Clear all tasks of the run, or trigger the refresh anew, also for this segment alone",
            )
        with self._root.writing(f"{refresh}/{file_of(key)}") as draft:
            yield draft

    def finish(self, refresh: Refresh) -> None:
        """Write down that a refresh is whole.

        :raises ConfigError: when a file of it is not there.
        """
        missing = [one.name for one in refresh.segments if not self._root.exists(one.file)]
        if missing:
            raise ConfigError(
                f"Refresh {refresh.id} lacks the files of {', '.join(missing)}: somebody has removed them meanwhile",
                "Clear all tasks of the run, or trigger the refresh anew",
            )
        self._root.put(f"{refresh.id}/{MANIFEST}", FORMAT.encode(refresh))

    def is_finished(self, refresh: str) -> bool:
        """Whether all of a refresh is there."""
        return self._root.exists(f"{refresh}/{MANIFEST}")

    def read(self, refresh: str) -> Refresh:
        """Return what a refresh says of itself.

        :raises ConfigError: when there is no such refresh, or it is not finished.
        """
        if not is_id(refresh) or not self.is_finished(refresh):
            raise ConfigError(
                f"There is no finished refresh {refresh!r} in {self.uri}: it is of another configuration, or was "
                "removed because newer ones came (keep and keep_hours of refresh)",
                _TRIGGER,
            )
        name = f"{refresh}/{MANIFEST}"
        return FORMAT.decode(self._root.read(name), Refresh, where=f"{self.uri}/{name}", remedy=_TRIGGER)

    def newest(self) -> Refresh | None:
        """Return the newest refresh that is finished, if there is one."""
        return next(map(self.read, self.finished()), None)

    def required(self) -> Refresh:
        """Return the newest refresh that is finished.

        :raises ConfigError: when there is none.
        """
        if (newest := self.newest()) is None:
            raise ConfigError(
                f"No refresh of the segments is finished yet: there is none in {self.uri}", _TRIGGER
            )
        return newest

    def finished(self) -> Iterator[str]:
        """Yield the refreshes that are finished, the newest first."""
        return (name for name in self._all() if self.is_finished(name))

    def tidy(self, *, keep: int, keep_hours: float, now: datetime) -> list[str]:
        """Remove old refreshes; returned are those that were removed.

        :param keep: how many finished ones stay in any case.
        :param keep_hours: the age that the others have reached: a run that reads one of them may still be at work.
            Those whose segments one that stays has taken over stay with it.
        """
        young = now - timedelta(hours=keep_hours)
        kept = [
            self.read(name)
            for number, name in enumerate(self.finished())
            if number < keep or begun_at(name) >= young
        ]
        needed = {one.refresh for refresh in kept for one in refresh.segments} | {one.id for one in kept}
        old = [name for name in self._all() if name not in needed and begun_at(name) < young]
        for name in old:
            # Without it, nobody takes for finished what is removed file by file.
            self._root.remove(f"{name}/{MANIFEST}")
            self._root.remove_folder(name)
        return old

    def _all(self) -> list[str]:
        return sorted(filter(is_id, self._root.names()), reverse=True)
