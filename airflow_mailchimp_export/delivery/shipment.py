"""What of a run has no answer yet, and how each chunk of it is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from airflow_mailchimp_export.delivery.opt_outs import OptOuts
from airflow_mailchimp_export.delivery.pool import deliver_directly
from airflow_mailchimp_export.delivery.removals import Outcomes, Remover
from airflow_mailchimp_export.delivery.renames import HeldBack, Renamer, rename_key, unanswered
from airflow_mailchimp_export.delivery.upserts import Upserter
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.model import Chunk, Effect, MemberStatus, Outcome, Reason, RemovalChunk
from airflow_mailchimp_export.progress import Progress
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.plan_file import Rename, read_chunks, read_removal_chunks, read_renames
from airflow_mailchimp_export.state.run import RunFolder

Item = Chunk | RemovalChunk
"""What travels by itself."""


@dataclass(frozen=True, slots=True)
class OpenChunks:
    """The chunks of a plan that are to be sent: first of who is added or updated, then of who leaves.

    :param people: how many are in them, a leaver once for each tag; ``None`` where nobody has counted these.
    """

    upserts: Iterator[Chunk]
    removals: Iterator[RemovalChunk]
    people: int | None


class Shipment:
    """The chunks of one run on their way to Mailchimp: a delivery takes them from here.

    :ivar connections: most calls at the same time.
    :ivar upserter: sends chunks of members.
    :ivar remover: sends chunks of people who leave.
    """

    def __init__(self, run: RunFolder, gateway: Gateway) -> None:
        manifest = run.manifest
        self.connections = gateway.max_connections
        skips = manifest.skip_merge_validation
        self.upserter = Upserter(gateway, manifest.audience_id, skip_merge_validation=skips)
        self.remover = Remover(gateway, manifest.audience_id)
        self._run = run
        self._tallies = manifest.tallies
        self._renamer = Renamer(gateway, manifest.audience_id, skip_merge_validation=skips)
        self._not_renamed: list[Rename] = []
        planned_at = datetime.fromisoformat(manifest.planned_at)
        self._opt_outs = OptOuts(gateway, manifest.audience_id, planned_at=planned_at)

    def rename(self) -> None:
        """Follow changed addresses, before anything else is sent.

        Who opted out keeps the old address. Who gets no answer stays unconfirmed, and so do all others once Mailchimp
        is out of reach.

        :raises RetryableError: when Mailchimp is out of reach.
        """
        if self._run.batches:
            # Whoever was held back is not in them, so they are renamed by the next run.
            return
        renames = self._unanswered_renames()
        if not renames:
            return
        with (
            self._run.answer_log.recording(),
            Progress("Renaming", "members", total=len(renames)) as progress,
        ):
            for people in deliver_directly(
                renames, self._renamed, connections=self.connections, keep=self._keep_renamed
            ):
                progress.advance(people)

    def _renamed(self, rename: Rename) -> Outcomes | None:
        status = self._opt_outs.of_renamed(rename)
        if status is None:
            return self._renamer.rename(rename)
        self._keep_opted_out_renamed(rename, status)
        return None

    def _keep_renamed(self, rename: Rename, outcomes: Sequence[Outcome]) -> None:
        self._run.keep(rename_key(rename), [(answers.RENAMES_CHUNK, outcomes)])

    def _keep_opted_out_renamed(self, rename: Rename, status: MemberStatus) -> None:
        """Keep that somebody opted out under their old address, and so is not sent under the new one either."""
        old, new = _suppressed({rename.old_email: status}), _suppressed({rename.email: status})
        self._run.keep(rename_key(rename), [(answers.RENAMES_CHUNK, old), (None, new)])
        self._not_renamed.append(rename)

    def _unanswered_renames(self) -> tuple[Rename, ...]:
        return unanswered(self._renames, self._run.answer_log.answered()) if self._renames else ()

    @cached_property
    def _renames(self) -> Sequence[Rename]:
        with self._run.reading_plan() as plan:
            return read_renames(plan)

    @contextmanager
    def open_chunks(
        self, *, only: frozenset[int] | None = None, without: frozenset[int] = frozenset()
    ) -> Iterator[OpenChunks]:
        """Lend the chunks that have no answer yet, without those who could not be renamed, or may not have been.

        :param only: the numbers of the chunks, where not all are meant.
        :param without: the numbers of those that are not meant.
        """
        still_open = self._open_numbers() - without
        wanted = still_open if only is None else still_open & only
        self._opt_outs.follow(self._renames)
        held_back = HeldBack.from_renames((*self._unanswered_renames(), *self._not_renamed))
        with self._run.reading_plan() as plan, self._run.answer_log.recording():
            yield OpenChunks(
                upserts=held_back.without(chunk for chunk in read_chunks(plan) if chunk.number in wanted),
                removals=held_back.without_leaving(
                    chunk for chunk in read_removal_chunks(plan) if chunk.number in wanted
                ),
                people=self._people_in(wanted),
            )

    def is_handed_over(self) -> bool:
        """Whether nothing is left to send: all of it was answered, or is in a batch that Mailchimp took."""
        in_batches = {number for batch in self._run.batches for number in batch.chunks}
        return not self._open_numbers() - in_batches

    def begin(self, number: int, *, ahead: int = 0) -> None:
        """Note that a chunk is about to be sent.

        :param ahead: for how many chunks behind it no further note is wanted.
        """
        self._run.begun.reach(number, ahead=ahead)

    def look_over(self, chunk: Chunk) -> tuple[Outcomes, Chunk]:
        """Part those from a chunk who opted out since the run was planned."""
        opted_out = self._opt_outs.among(chunk.members)
        if not opted_out:
            return (), chunk
        left = tuple(member for member in chunk.members if member.email not in opted_out)
        return _suppressed(opted_out), Chunk(chunk.number, left)

    def look_over_leaving(self, chunk: RemovalChunk) -> tuple[Outcomes, RemovalChunk]:
        """Do the same with a chunk of people who leave: who opted out stays as they are."""
        opted_out = self._opt_outs.among_leaving(chunk.emails)
        left = tuple(email for email in chunk.emails if email not in opted_out)
        return _suppressed(opted_out), replace(chunk, emails=left)

    def keep(self, chunk: Item, outcomes: Sequence[Outcome]) -> None:
        """Keep what became of the people of a chunk."""
        self._run.keep(answers.chunk_key(chunk.number), [(_told_apart_by(chunk), outcomes)])

    def keep_opted_out(self, chunk: Item, outcomes: Sequence[Outcome]) -> None:
        """Keep who is left out of a chunk that has yet to be answered."""
        self._run.keep(answers.opted_out_key(chunk.number), [(_told_apart_by(chunk), outcomes)])

    def _people_in(self, numbers: Set[int]) -> int | None:
        tallies = self._tallies
        is_whole = len(numbers) == tallies.upsert_chunks + tallies.removal_chunks
        if not is_whole or (tallies.removal_chunks and not tallies.removals):
            return None
        return tallies.planned + tallies.removals

    def _open_numbers(self) -> frozenset[int]:
        answered = self._run.answer_log.answered()
        numbers = range(self._tallies.upsert_chunks + self._tallies.removal_chunks)
        return frozenset(number for number in numbers if answers.chunk_key(number) not in answered)


def _told_apart_by(chunk: Item) -> int | None:
    """Return the number of a chunk of people who leave, for they may leave by several."""
    return chunk.number if isinstance(chunk, RemovalChunk) else None


def _suppressed(opted_out: Mapping[str, MemberStatus]) -> Outcomes:
    return tuple(
        Outcome(email, Effect.SUPPRESSED, reason=Reason(status.value)) for email, status in opted_out.items()
    )
