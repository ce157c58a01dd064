"""Removing people: taking tags from them, and archiving them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property

from airflow_mailchimp_export.delivery.halving import send_in_halves
from airflow_mailchimp_export.errors import NotFound, PermanentError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.archive import OperationResult
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.model import Effect, Outcome, Reason, RemovalChunk
from airflow_mailchimp_export.rules import ARCHIVE, UNTAG
from airflow_mailchimp_export.tag_names import by_key, tag_key

Outcomes = tuple[Outcome, ...]

RemovalCall = Callable[[str, RemovalChunk, Callable[[], Mapping[str, int]]], Call[Outcomes] | None]
"""Makes the request for a chunk, of the audience, the chunk, and what looks up the audience's tags: ids by keys."""


def _untag(
    audience_id: str, chunk: RemovalChunk, tag_ids: Callable[[], Mapping[str, int]]
) -> Call[Outcomes] | None:
    tag_id = tag_ids().get(tag_key(chunk.tag))
    return None if tag_id is None else calls.untag(audience_id, tag_id, chunk.emails)


REMOVAL_CALLS: dict[str, RemovalCall] = {
    UNTAG.name: _untag,
    ARCHIVE.name: lambda audience_id, chunk, _: calls.archive(audience_id, chunk.emails[0]),
}
"""The request of each kind of removal."""


class Remover:
    """Removes people, all of one chunk in the same way."""

    def __init__(self, gateway: Gateway, audience_id: str) -> None:
        self._gateway = gateway
        self._audience_id = audience_id

    @cached_property
    def _tag_ids(self) -> dict[str, int]:
        tags: dict[str, int] = self._gateway.send(calls.tags(self._audience_id))
        return by_key(tags)

    def call(self, chunk: RemovalChunk) -> Call[Outcomes] | None:
        """Return the request for a chunk; ``None`` where nobody can carry the tag because it is gone."""
        return REMOVAL_CALLS[chunk.kind.name](self._audience_id, chunk, lambda: self._tag_ids)

    def remove(self, chunk: RemovalChunk) -> Outcomes:
        """Return what became of each person.

        :raises RetryableError: when Mailchimp could not be reached in the end.
        :raises AccessDenied: when the key may not do this.
        """
        return send_in_halves(
            chunk.emails, lambda emails: self._send(replace(chunk, emails=emails)), alone=_not_removed
        )

    def _send(self, chunk: RemovalChunk) -> Outcomes:
        call = self.call(chunk)
        if call is None:
            return removed(chunk)
        try:
            outcomes = self._gateway.send(call)
        except NotFound:
            return removed(chunk)
        return tuple(self._checked(outcome, chunk.tag) for outcome in outcomes)

    def _checked(self, outcome: Outcome, tag: str) -> Outcome:
        """Look at the member of whom Mailchimp says that the tag could not be taken: who is not there has none."""
        if outcome.effect is Effect.REMOVED:
            return outcome
        try:
            tags = self._gateway.send(calls.member_tags(self._audience_id, outcome.email))
        except NotFound:
            return Outcome(outcome.email, Effect.REMOVED)
        except PermanentError:
            return outcome
        return outcome if tag_key(tag) in map(tag_key, tags) else Outcome(outcome.email, Effect.REMOVED)


def _not_removed(email: str, refusal: PermanentError) -> Outcome:
    return Outcome(email, Effect.REMOVAL_FAILED, reason=Reason.REFUSED, words=refusal.words)


def removed(chunk: RemovalChunk) -> Outcomes:
    """Return the outcomes where everybody of a chunk is gone."""
    return tuple(Outcome(email, Effect.REMOVED) for email in chunk.emails)


def to_removal_outcomes(chunk: RemovalChunk, result: OperationResult) -> Outcomes:
    """Return what an operation says of people who leave; nothing where somebody could not be removed."""
    if result.not_found:
        return removed(chunk)
    if not result.ok:
        return ()
    if chunk.kind.state:
        return removed(chunk)
    outcomes = calls.to_untagged(chunk.emails, result.answer) if result.answer is not None else ()
    return outcomes if all(outcome.effect is Effect.REMOVED for outcome in outcomes) else ()
