"""Batches as they are kept: what was ordered, how far it is, and where its results lie."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class BatchStatus(StrEnum):
    """The life of a batch; there is no status for failure."""

    PENDING = "pending"
    PREPROCESSING = "preprocessing"
    STARTED = "started"
    FINALIZING = "finalizing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call inside a batch; its body is a string."""

    method: str
    path: str
    query: Mapping[str, str]
    body: str | None
    operation_id: str | None


@dataclass(slots=True, eq=False)
class Batch:
    """One batch."""

    number: int
    batch_id: str
    submitted: int
    operations: list[Operation]
    status: BatchStatus = BatchStatus.PENDING
    total: int = 0
    finished: int = 0
    errored: int = 0
    completed: int = 0
    archive: Path | None = None
    reads: int = 0
    """How often it was read since it finished."""
    downloads: int = 0
    faulty_downloads: int = 0
    stopped_as: str = ""
    """The status that is shown since it was stopped, if it is shown at all."""
    invented: int = 0
    """Operations that it only pretends to have done, one for each look at a batch that never ends."""

    @property
    def all_done(self) -> bool:
        """Whether its operations are done, and it is still running."""
        return self.status is BatchStatus.STARTED and self.finished == self.total

    def lose_results(self) -> None:
        """Delete the archive, if there is one."""
        if self.archive:
            self.archive.unlink(missing_ok=True)
        self.archive = None

    def to_json(self) -> dict[str, Any]:
        """The numbers, without times and links."""
        return {
            "id": self.batch_id,
            "status": self.stopped_as or self.status.value,
            "total_operations": self.total + self.invented + bool(self.invented),
            "finished_operations": self.finished + self.invented,
            "errored_operations": self.errored,
        }


def _nobody() -> None:
    """Nobody waits for batches yet."""


@dataclass(eq=False)
class BatchBook:
    """All batches of the account."""

    batches: dict[str, Batch] = field(default_factory=dict)
    submitted: int = 0
    wake: Callable[[], None] = _nobody
    """Tells whoever runs batches that there is a new one."""

    def submit(self, operations: list[Operation], now: int) -> Batch:
        """Put a batch at the end of the queue."""
        self.submitted += 1
        batch = Batch(self.submitted, secrets.token_hex(5), now, operations)
        self.batches[batch.batch_id] = batch
        self.wake()
        return batch

    def pending(self) -> list[Batch]:
        """Those that have not begun, oldest first."""
        found = [batch for batch in self.batches.values() if batch.status is BatchStatus.PENDING]
        return [batch for batch in found if not batch.stopped_as]

    def unfinished(self) -> list[Batch]:
        """Those that may still change, oldest first."""
        found = [batch for batch in self.batches.values() if batch.status is not BatchStatus.FINISHED]
        return [batch for batch in found if not batch.stopped_as]

    def holds(self, batch: Batch) -> bool:
        """Whether it still exists, and was not stopped."""
        return self.batches.get(batch.batch_id) is batch and not batch.stopped_as

    def stop(self, batch: Batch, shown_as: str) -> None:
        """Stop a batch, whose results are lost; without a status to show, nothing is left of it."""
        if not shown_as:
            self.drop(batch)
            return
        batch.lose_results()
        batch.stopped_as, batch.operations = shown_as, []

    def drop(self, batch: Batch) -> None:
        """Forget a batch with its results."""
        del self.batches[batch.batch_id]
        batch.lose_results()

    def expire(self, before: int) -> None:
        """Forget what was submitted before this moment."""
        for batch in [one for one in self.batches.values() if one.submitted < before]:
            self.drop(batch)
