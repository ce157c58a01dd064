"""The folders of an export and of its runs: what lies there, under which name, in which format.

Nobody else names a file of a run. What is JSON carries the number of its format: what an earlier release wrote is
brought up to date when it is read, and what a later one wrote is an error that says so. ``plan.parquet`` is of the
format of the ``run.json`` beside it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airflow_mailchimp_export.errors import UnreadableFile
from airflow_mailchimp_export.state.answer_files import Answer
from airflow_mailchimp_export.state.answers import AnswerLog
from airflow_mailchimp_export.state.folder import Folder
from airflow_mailchimp_export.state.json_format import JsonFormat
from airflow_mailchimp_export.state.manifest import (
    BATCHES_FORMAT,
    MANIFEST_FORMAT,
    Manifest,
    SubmittedBatch,
    SubmittedBatches,
)
from airflow_mailchimp_export.state.notes import BegunMark, WatchNote
from airflow_mailchimp_export.state.parquet import is_whole
from airflow_mailchimp_export.state.plan_file import PlanWriter

if TYPE_CHECKING:
    from upath import UPath

log = logging.getLogger(__name__)

PLAN = "plan.parquet"
RUN = "run.json"
BATCHES = "batches.json"
OUTCOMES = "outcomes.parquet"
REJECTS = "rejects.csv"
AGGREGATES = "aggregates.json"
REPORT = "report.json"
SET_ASIDE = "set-aside.json"

_ENDS = {REPORT, SET_ASIDE}
"""One of them is there once a run is over."""

REPORT_FORMAT = JsonFormat()

_SET_ASIDE_FORMAT = JsonFormat()

_AGGREGATES_FORMAT = JsonFormat()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _SetAside:
    """Why a run was given up."""

    file: str
    problem: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class Ending:
    """When a run ended, and whether it was about to change anything; all that tidying has to know of a report."""

    finished_at: str
    dry_run: bool = False
    nothing_sent: bool = False


_FILES_OF_EXPORTS = re.compile(r"ledger\..*|.*\.(json|parquet)|answers|\.draft-.*", re.IGNORECASE)

_NO_FILE = "run~"


def _is_a_file_of_exports(name: str) -> bool:
    """Whether a run of this name would take the place of a file, or of a folder that is no run."""
    return _FILES_OF_EXPORTS.fullmatch(name) is not None


class RunFolder(Folder):
    """The folder of one run.

    :ivar answer_log: what Mailchimp answered.
    :ivar begun: which chunks may have been sent.
    :ivar watch_note: what was seen of the batches.
    """

    def __init__(self, location: Path | UPath) -> None:
        super().__init__(location)
        self.answer_log = AnswerLog(self)
        self.begun = BegunMark(self)
        self.watch_note = WatchNote(self)
        self._plan_is_whole = False
        self._noted: tuple[SubmittedBatch, ...] | None = None
        self._manifest: Manifest | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self._folder.name

    def export_folder(self) -> ExportFolder:
        """Return the folder of the export that the run is of."""
        return ExportFolder(self._folder.parent)

    @property
    def first_attempt(self) -> str:
        """The name of the folder of the first attempt at the run; further ones have a number behind it."""
        further = re.fullmatch(r"(.+)-\d+", self.name)
        is_further = further and RunFolder(self._folder.parent / further[1]).is_planned()
        return further[1] if further and is_further else self.name

    def earlier_attempts(self) -> Iterator[RunFolder]:
        """Yield the attempts at the run that were made, this one included if it is planned."""
        return takewhile(RunFolder.is_planned, self.export_folder().attempts(self.first_attempt))

    def is_planned(self) -> bool:
        """Return whether the run has a complete plan."""
        return self.exists(RUN)

    @contextmanager
    def writing_plan(self) -> Iterator[PlanWriter]:
        """Lend what writes the plan; it is in place at the end."""
        with self.writing(PLAN) as draft, PlanWriter(draft) as writer:
            yield writer
        self._plan_is_whole = True

    @contextmanager
    def reading_plan(self) -> Iterator[Path]:
        """Lend a local path to the plan, which is read to its last byte first unless it was written here.

        :raises UnreadableFile: when it is damaged.
        """
        if not (self.has_copy(PLAN) or self.exists(PLAN)):
            raise self._unreadable(PLAN, "is missing")
        with self.reading(PLAN) as path:
            self._plan_is_whole = self._plan_is_whole or is_whole(path)
            if not self._plan_is_whole:
                raise self._unreadable(PLAN, "is damaged")
            yield path

    def plan_at_hand(self) -> AbstractContextManager[None]:
        """Keep the plan here, so that an object storage is asked for it no more than once."""
        return self.at_hand(PLAN)

    @property
    def manifest(self) -> Manifest:
        """What the run set out to do.

        :raises UnreadableFile: when it is damaged, or of a newer release.
        """
        if self._manifest is None:
            self._manifest = self._load(RUN, MANIFEST_FORMAT, Manifest)
        return self._manifest

    def begin(self, manifest: Manifest) -> None:
        """Write down what the run sets out to do; from then on it is planned, and nothing of it is sent yet."""
        self.begun.start()
        self.put(RUN, MANIFEST_FORMAT.encode(manifest))
        self._manifest = manifest

    @property
    def batches(self) -> tuple[SubmittedBatch, ...]:
        """The batches of the run that Mailchimp took.

        :raises UnreadableFile: when the list is damaged, or of a newer release.
        """
        if self._noted is not None:
            return self._noted
        return self._load(BATCHES, BATCHES_FORMAT, SubmittedBatches).batches if self.exists(BATCHES) else ()

    def note_batch(self, batch: SubmittedBatch) -> None:
        """Write down a batch that Mailchimp took; whoever does so is the only one."""
        batches = (*self.batches, batch)
        # Where no answer comes the list may be there all the same.
        self._noted = None
        self.put(BATCHES, BATCHES_FORMAT.encode(SubmittedBatches(batches)))
        self._noted = batches

    def keep(self, key: str, answers: Iterable[Answer], *, refused: Sequence[int] = ()) -> int:
        """Keep the answers to one chunk, or to all chunks of one batch; see :meth:`AnswerLog.keep`."""
        return self.answer_log.keep(key, answers, refused=refused)

    def answers(self) -> list[str]:
        """Return the names of the files with answers, in order."""
        return self.answer_log.names()

    def keep_aggregates(self, aggregates: object) -> None:
        """Keep the numbers of the run, which can be told only until the ledger has it."""
        self.put(AGGREGATES, _AGGREGATES_FORMAT.encode(aggregates))

    def aggregates(self, kind: type[T]) -> T | None:
        """Return the numbers that were kept; ``None`` where there are none that can be read."""
        if not self.exists(AGGREGATES):
            return None
        try:
            return self._load(AGGREGATES, _AGGREGATES_FORMAT, kind)
        except UnreadableFile as error:
            log.warning("%s %s: the report may have other numbers of who joined", error.file, error.problem)
            return None

    def writing_outcomes(self) -> AbstractContextManager[Path]:
        """Lend a path to write to what became of each profile."""
        return self.writing(OUTCOMES)

    def writing_rejects(self) -> AbstractContextManager[Path]:
        """Lend a path to write the rejects to."""
        return self.writing(REJECTS)

    def is_finished(self) -> bool:
        """Return whether the run is over: it has its report, or was given up."""
        return not _ENDS.isdisjoint(self.names())

    def finish(self, report: object) -> None:
        """Write the report; from then on the run is over."""
        self.put(REPORT, REPORT_FORMAT.encode(report))

    def report(self, kind: type[T]) -> T:
        """Return the report.

        :param kind: the type of a report.
        :raises UnreadableFile: when it is damaged, or of a newer release, or the run was given up.
        """
        if not self.exists(REPORT) and self.exists(SET_ASIDE):
            note = self._load(SET_ASIDE, _SET_ASIDE_FORMAT, _SetAside)
            raise self._unreadable(note.file, note.problem)
        return self._load(REPORT, REPORT_FORMAT, kind)

    def set_aside(self, file: str, problem: str) -> None:
        """Give the run up, because a file of it cannot be read; what it holds stays until it is tidied away."""
        self.put(SET_ASIDE, _SET_ASIDE_FORMAT.encode(_SetAside(file, problem, _now())))

    def ending(self, names: Container[str]) -> Ending:
        """Return how the run ended; where its files do not say when, the time at which the last of them was written.

        :param names: of its files.
        """
        name, format_ = (REPORT, REPORT_FORMAT) if REPORT in names else (SET_ASIDE, _SET_ASIDE_FORMAT)
        try:
            return self._load(name, format_, Ending)
        except UnreadableFile as error:
            log.warning(
                "%s %s: the run is kept by the time at which it was written", error.file, error.problem
            )
            return Ending(self.written_at(name))

    def check(self) -> None:
        """Make sure that the run can be accounted for.

        :raises UnreadableFile: when a file is damaged, missing, or of a newer release.
        """
        _ = self.manifest, self.batches
        with self.reading_plan():
            pass

    def _load(self, name: str, format_: JsonFormat, kind: type[T]) -> T:
        try:
            content = self.read(name)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise self._unreadable(name, "is missing") from error
        except OSError as error:
            said = error.strerror or type(error).__name__
            raise self._unreadable(name, f"cannot be read ({said})") from error
        return format_.decode(content, kind, where=f"{self.uri}/{name}", remedy=self._remedy)

    def _unreadable(self, name: str, problem: str) -> UnreadableFile:
        return UnreadableFile(f"{self.uri}/{name}", problem, self._remedy)

    @property
    def _remedy(self) -> str:
        return f"Remove the folder {self.uri} and run the export again: it sends whom it does not know to be sent"


class ExportFolder(Folder):
    """The folder of one export."""

    @property
    def name(self) -> str:
        """The export's name."""
        return self._folder.name

    def run(self, name: str, *, fresh: bool = False) -> RunFolder:
        """Return the folder of the newest attempt at a run that is not over, or of a further attempt.

        :param fresh: return one that no attempt has used, also where one is not over.
        """
        return next(
            folder
            for folder in self.attempts(name)
            if not (folder.is_finished() or (fresh and folder.is_planned()))
        )

    def attempts(self, name: str) -> Iterator[RunFolder]:
        """Yield the folders of all attempts at a run, also of those that were never made."""
        name = f"{_NO_FILE}{name}" if _is_a_file_of_exports(name) else name
        names = chain([name], (f"{name}-{attempt}" for attempt in count(2)))
        return map(self.run_named, names)

    def run_named(self, name: str) -> RunFolder:
        """Return the folder of that name."""
        return RunFolder(self._folder / name)

    def has_finished(self, name: str) -> bool:
        """Return whether the run of a folder is over."""
        return self.run_named(name).is_finished()

    def runs(self) -> list[RunFolder]:
        """Return the folders of all runs."""
        return [*map(self.run_named, self._runs())]

    def unfinished_runs(self) -> list[RunFolder]:
        """Return the folders of the runs that are not over."""
        return [self.run_named(name) for name, files in self._runs().items() if files.isdisjoint(_ENDS)]

    def _runs(self) -> dict[str, frozenset[str]]:
        found = self.names_below().items()
        return {name: files for name, files in found if files & {PLAN, RUN, REPORT}}

    def remove_run(self, run: RunFolder) -> None:
        """Remove a run's folder with all that is in it; where that fails it stays, and the log says so."""
        try:
            self._storage.remove_folder(self._folder / run.name)
        except OSError as error:
            said = f"{type(error).__name__}: {error.strerror}" if error.strerror else type(error).__name__
            log.warning("The folder %s could not be removed (%s). The next run tries it again", run.uri, said)

    def others(self) -> list[ExportFolder]:
        """Return the folders of the other exports under the same root."""
        root = self._folder.parent
        names = (name for name in Folder(root).names() if name != self._folder.name)
        return [ExportFolder(root / name) for name in names if (root / name).is_dir()]

    def tidy(self, keep_runs: int) -> None:
        """Remove the oldest runs that are over; those that changed nothing push no others out."""
        finished = {name: files for name, files in self._runs().items() if files & _ENDS}
        if len(finished) <= keep_runs:
            return
        folders = ((self.run_named(name), files) for name, files in finished.items())
        endings = [(folder, folder.ending(files)) for folder, files in folders]
        for runs in _by_what_they_did(endings):
            oldest_first = sorted(runs, key=lambda run: (run[1].finished_at, run[0].name))
            for run, _ in oldest_first[: max(0, len(runs) - keep_runs)]:
                self.remove_run(run)


def _by_what_they_did(
    endings: Iterable[tuple[RunFolder, Ending]],
) -> tuple[list[tuple[RunFolder, Ending]], ...]:
    """Part runs that are over: first those that may have sent something, then those that only looked."""
    sent: list[tuple[RunFolder, Ending]] = []
    idle: list[tuple[RunFolder, Ending]] = []
    for run, ending in endings:
        (idle if ending.dry_run or ending.nothing_sent else sent).append((run, ending))
    return sent, idle


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
