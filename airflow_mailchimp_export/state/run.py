"""The folders of an export and of its runs, and the names of what lies there."""

from __future__ import annotations

import shutil
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, cast

from airflow_mailchimp_export.state.folder import DRAFT, Folder, is_local

if TYPE_CHECKING:
    from upath import UPath

from airflow_mailchimp_export.state.manifest import (
    SubmittedBatch,
    batches_from_json,
)

PLAN = "plan.parquet"
RUN = "run.json"
BATCHES = "batches.json"
OUTCOMES = "outcomes.parquet"
REJECTS = "rejects.csv"
REPORT = "report.json"

_ANSWERS = "answers"


class RunFolder(Folder):
    """The folder of one run."""

    @property
    def name(self) -> str:
        """The run's name."""
        return self._folder.name

    def is_finished(self) -> bool:
        """Return whether the run has its report."""
        return self.exists(REPORT)

    def is_planned(self) -> bool:
        """Return whether the run has a complete plan."""
        return self.exists(RUN)

    def answers(self) -> list[str]:
        """Return the names of the answers kept so far, in order."""
        return [f"{_ANSWERS}/{name}" for name in self.names(_ANSWERS) if name.endswith(".parquet")]

    def answered(self) -> frozenset[str]:
        """Return the keys of the answers kept so far."""
        return frozenset(Path(name).stem for name in self.answers())

    def answer_name(self, key: str) -> str:
        """Return the name under which the answers to a chunk or a batch are kept."""
        return f"{_ANSWERS}/{key}.parquet"

    def drop_answers(self) -> None:
        """Remove the single answers, once they are joined in one file."""
        for name in self.answers():
            self.remove(name)

    def export_folder(self) -> ExportFolder:
        """Return the folder of the export that the run is of."""
        return ExportFolder(self._folder.parent)


class ExportFolder(Folder):
    """The folder of one export."""

    def run(self, name: str) -> RunFolder:
        """Return the folder of the newest attempt at a run that is not settled, or of a further attempt.

        So a retry goes on where the attempt before stopped, and a run made again starts anew.
        """
        attempts = chain([name], (f"{name}-{attempt}" for attempt in count(2)))
        folders = (RunFolder(self._folder / attempt) for attempt in attempts)
        return next(folder for folder in folders if not folder.is_finished())

    def has_finished(self, name: str) -> bool:
        """Return whether the run of a folder has its report."""
        return RunFolder(self._folder / name).is_finished()

    def runs(self) -> list[RunFolder]:
        """Return the folders of all runs."""
        folders = (RunFolder(self._folder / name) for name in self.names())
        return [
            folder for folder in folders if folder.exists(PLAN) or folder.exists(RUN) or folder.exists(REPORT)
        ]

    def sweep(self) -> None:
        """Remove the drafts of processes that were killed; for whoever holds the export's lock."""
        if is_local(self._folder):
            for draft in Path(str(self._folder)).rglob(f"{DRAFT}*"):
                shutil.rmtree(draft, ignore_errors=True)

    def remove_run(self, folder: RunFolder) -> None:
        """Remove a run's folder with all that is in it."""
        place = self._folder / folder.name
        if is_local(place):
            shutil.rmtree(str(place), ignore_errors=True)
        else:
            cast("UPath", place).rmdir(recursive=True)


def submitted_batches(folder: RunFolder) -> tuple[SubmittedBatch, ...]:
    """Return the batches of a run that Mailchimp took."""
    return batches_from_json(folder.read(BATCHES)) if folder.exists(BATCHES) else ()
