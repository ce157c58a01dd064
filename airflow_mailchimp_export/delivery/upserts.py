"""Sending the members of a chunk, and dividing a chunk that is refused as a whole."""

from __future__ import annotations

import threading

from airflow_mailchimp_export.delivery.halving import BearableSize, send_in_halves
from airflow_mailchimp_export.delivery.streak import Streak
from airflow_mailchimp_export.errors import PermanentError, TimedOut
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.mailchimp.refusals import effect_of, why
from airflow_mailchimp_export.model import MAX_CHUNK_MEMBERS, Chunk, Member, Outcome

_DIVISIBLE = frozenset({400, 413, 422})
"""The refusals of a whole request for which one of its members may be to blame."""

MAX_CONSECUTIVE_REJECTIONS = 50
"""Members refused one by one, without any accepted between, after which the members are not to blame."""

MAX_UNDIVIDED = 25
"""Members of a request that is repeated like any other when it times out: so few are not what takes so long."""


class Upserter:
    """Sends a chunk, and divides it when Mailchimp refuses it whole, or takes too long for it."""

    def __init__(self, gateway: Gateway, audience_id: str, *, skip_merge_validation: bool = False) -> None:
        self._gateway = gateway
        self._audience_id = audience_id
        self._skip_merge_validation = skip_merge_validation
        # Whether Mailchimp trims the answer as asked: not documented for this call, so found out.
        self._trims: bool | None = None
        self._lock = threading.Lock()
        self._refusals = Streak(MAX_CONSECUTIVE_REJECTIONS)
        self._size = BearableSize(MAX_CHUNK_MEMBERS, smallest=MAX_UNDIVIDED)

    def call(self, chunk: Chunk, *, trimmed: bool = True) -> Call[tuple[Outcome, ...]]:
        """Return the request for a chunk."""
        return calls.upsert(
            self._audience_id,
            chunk,
            skip_merge_validation=self._skip_merge_validation,
            trimmed=trimmed,
            divisible=self._size.is_divisible(len(chunk.members)),
        )

    def upsert(self, chunk: Chunk) -> tuple[Outcome, ...]:
        """Return what became of each member.

        What Mailchimp did not answer in time is sent in smaller parts, and so are all chunks that follow.

        :raises RetryableError: when Mailchimp could not be reached in the end.
        :raises PermanentError: when it refuses for a reason that is not in the members.
        :raises AccessDenied: when the key may not do this.
        """
        outcomes: list[Outcome] = []
        left = chunk.members
        while left:
            part = left[: self._size.people]
            try:
                outcomes += self._upsert(Chunk(chunk.number, part))
            except TimedOut:
                if not self._size.is_divisible(len(part)):
                    raise
                self._size.timed_out(len(part))
            else:
                left = left[len(part) :]
        return tuple(outcomes)

    def _upsert(self, chunk: Chunk) -> tuple[Outcome, ...]:
        return send_in_halves(
            chunk.members,
            lambda members: self._send(Chunk(chunk.number, members)),
            alone=self._refused_alone,
            refusals=_DIVISIBLE,
        )

    def _send(self, chunk: Chunk) -> tuple[Outcome, ...]:
        outcomes = self._send_trimmed(chunk)
        self._refusals.end()
        return outcomes

    def _send_trimmed(self, chunk: Chunk) -> tuple[Outcome, ...]:
        if self._trims is not False:
            try:
                outcomes = self._gateway.send(self.call(chunk))
            except PermanentError as refusal:
                if self._trims or refusal.status not in _DIVISIBLE:
                    raise
            else:
                if outcomes or self._trims:
                    self._learn(trims=True)
                    return outcomes
        outcomes = self._gateway.send(self.call(chunk, trimmed=False))
        self._learn(trims=False)
        return outcomes

    def _learn(self, *, trims: bool) -> None:
        """Keep what was found out first: threads find out side by side, and none may overturn another."""
        with self._lock:
            if self._trims is None:
                self._trims = trims

    def _refused_alone(self, member: Member, refusal: PermanentError) -> Outcome:
        if self._refusals.extend():
            raise refusal
        return _rejected(member, refusal)


def _rejected(member: Member, refusal: PermanentError) -> Outcome:
    problem = next(iter(refusal.problems), None)
    field, message = (problem.field, problem.message) if problem else ("", "")
    reason = why(refusal.words, field=field, field_message=message)
    words = " ".join(part for part in (refusal.words, message) if part)
    return Outcome(member.email, effect_of(reason), reason=reason, field=field, words=words)
