"""From the plan of a run to Mailchimp: what has no answer yet is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain

from airflow_mailchimp_export.delivery.batches import Operation, submit_batches, to_operation
from airflow_mailchimp_export.delivery.opt_outs import OptOuts
from airflow_mailchimp_export.delivery.pool import deliver_directly
from airflow_mailchimp_export.delivery.removals import Remover, removed
from airflow_mailchimp_export.delivery.renames import rename_members
from airflow_mailchimp_export.delivery.upserts import Upserter
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Chunk, Effect, Outcome, Reason, RemovalChunk
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.manifest import (
    Manifest,
    SubmittedBatch,
    batches_to_json,
)
from airflow_mailchimp_export.state.plan_file import read_chunks, read_removal_chunks, read_renames
from airflow_mailchimp_export.state.run import BATCHES, PLAN, RunFolder, submitted_batches


class Shipment:
    """Brings the chunks of a plan to Mailchimp, those that are not there yet."""

    def __init__(self, folder: RunFolder, manifest: Manifest, gateway: Gateway) -> None:
        self._folder = folder
        self._manifest = manifest
        self._gateway = gateway
        self._upserter = Upserter(
            gateway,
            manifest.audience_id,
            skip_merge_validation=manifest.skip_merge_validation,
        )
        self._remover = Remover(gateway, manifest.audience_id)
        self._opt_outs = OptOuts(
            gateway,
            manifest.audience_id,
            planned_at=datetime.fromisoformat(manifest.planned_at),
        )

    def rename(self) -> None:
        """Follow changed addresses, before anything else is sent."""
        if answers.RENAMES in self._folder.answered():
            return
        with self._folder.reading(PLAN) as plan:
            renames = read_renames(plan)
        if renames:
            outcomes = rename_members(renames, self._gateway, self._manifest.audience_id)
            answers.keep(self._folder, answers.RENAMES, [(answers.RENAMES_CHUNK, outcomes)])

    def deliver(self, *, only: frozenset[int] | None = None) -> None:
        """Make the calls for all chunks without an answer: first for who is sent, then for who leaves.

        :param only: the numbers of the chunks, where not all are meant.
        """
        still_open = self._open_numbers()
        wanted = still_open if only is None else still_open & only
        connections = self._gateway.max_connections
        with self._folder.reading(PLAN) as plan, self._progress("Sending") as progress:
            chunks = (chunk for chunk in read_chunks(plan) if chunk.number in wanted)
            sent = deliver_directly(chunks, self._upsert, connections=connections, keep=self._keep)
            leaving = (chunk for chunk in read_removal_chunks(plan) if chunk.number in wanted)
            left = deliver_directly(
                leaving, self._remover.remove, connections=connections, keep=self._keep_removed
            )
            for people in chain(sent, left):
                progress.advance(people)

    def submit(self, on_batch: Callable[[str], None]) -> tuple[SubmittedBatch, ...]:
        """Hand all chunks over as batches that were not handed over before; return all batches of the run."""
        batches = list(submitted_batches(self._folder))
        wanted = self._open_numbers() - {number for batch in batches for number in batch.chunks}
        with self._folder.reading(PLAN) as plan, self._progress("Handing over") as progress:
            chunks = (chunk for chunk in read_chunks(plan) if chunk.number in wanted)
            leaving = (chunk for chunk in read_removal_chunks(plan) if chunk.number in wanted)
            for operations in (self._upserts(chunks), self._removals(leaving)):
                for batch, people in submit_batches(operations, self._gateway):
                    batches.append(batch)
                    on_batch(batch.id)
                    self._folder.put(BATCHES, batches_to_json(batches))
                    progress.advance(people)
        return tuple(batches)

    def _upsert(self, chunk: Chunk) -> tuple[Outcome, ...]:
        spared, left = self._spared(chunk)
        return (*spared, *(self._upserter.upsert(left) if left.members else ()))

    def _upserts(self, chunks: Iterable[Chunk]) -> Iterator[Operation]:
        for chunk in chunks:
            spared, left = self._spared(chunk)
            if spared:
                answers.keep(self._folder, answers.opted_out_key(chunk.number), [(None, spared)])
            if left.members:
                yield to_operation(chunk.number, len(left.members), self._upserter.call(left))

    def _spared(self, chunk: Chunk) -> tuple[tuple[Outcome, ...], Chunk]:
        """Part those from a chunk who said no since the run was planned."""
        said_no = self._opt_outs.among(member.email for member in chunk.members)
        spared = tuple(
            Outcome(email, Effect.SUPPRESSED, reason=Reason(status.value))
            for email, status in said_no.items()
        )
        left = tuple(member for member in chunk.members if member.email not in said_no)
        return spared, Chunk(chunk.number, left)

    def _removals(self, chunks: Iterable[RemovalChunk]) -> Iterator[Operation]:
        for chunk in chunks:
            call = self._remover.call(chunk)
            if call:
                yield to_operation(chunk.number, len(chunk.emails), call)
            else:
                self._keep_removed(chunk, removed(chunk))

    def _open_numbers(self) -> frozenset[int]:
        tallies = self._manifest.tallies
        answered = self._folder.answered()
        numbers = range(tallies.upsert_chunks + tallies.leave_chunks)
        return frozenset(number for number in numbers if answers.chunk_key(number) not in answered)

    def _keep(self, chunk: Chunk, outcomes: Sequence[Outcome]) -> None:
        answers.keep(self._folder, answers.chunk_key(chunk.number), [(None, outcomes)])

    def _keep_removed(self, chunk: RemovalChunk, outcomes: Sequence[Outcome]) -> None:
        answers.keep(self._folder, answers.chunk_key(chunk.number), [(chunk.number, outcomes)])

    def _progress(self, what: str) -> Progress:
        return Progress(what, "members", total=self._manifest.tallies.planned)
