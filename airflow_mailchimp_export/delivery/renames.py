"""Following people whose address changed, before anything else is sent."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from airflow_mailchimp_export.address import normal_address, stored_hash
from airflow_mailchimp_export.delivery.removals import Outcomes
from airflow_mailchimp_export.errors import NotFound, PermanentError
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.gateway import Gateway
from airflow_mailchimp_export.mailchimp.protocol import Call
from airflow_mailchimp_export.model import Chunk, Effect, Outcome, Reason, RemovalChunk
from airflow_mailchimp_export.state import answers
from airflow_mailchimp_export.state.plan_file import Rename

log = logging.getLogger(__name__)


class Renamer:
    """Gives members their new addresses, so that they keep their history."""

    def __init__(self, gateway: Gateway, audience_id: str, *, skip_merge_validation: bool = False) -> None:
        self._gateway = gateway
        self._audience_id = audience_id
        self._skip_merge_validation = skip_merge_validation

    def rename(self, rename: Rename) -> Outcomes:
        """Return what became of a member; refused where the new address is taken.

        :raises RetryableError: when Mailchimp could not be reached in the end; the member may be renamed or not.
        :raises AccessDenied: when the key may not do this.
        """
        try:
            self._gateway.send(self._call(rename))
        except PermanentError as refusal:
            if refusal.status != 400 or not self._was_renamed_before(rename):
                log.info("A changed address could not be followed: %s", refusal)
                return (_refused(rename, refusal),)
        return (Outcome(rename.old_email, Effect.RENAMED),)

    def _call(self, rename: Rename) -> Call[str]:
        return calls.rename(
            self._audience_id,
            rename.old_hash,
            rename.email,
            status_if_new=rename.status,
            skip_merge_validation=self._skip_merge_validation,
        )

    def _was_renamed_before(self, rename: Rename) -> bool:
        """Whether an attempt before, whose answer was lost, has done it: nobody has the old address any more."""
        return not self._is_member(rename.old_hash) and self._is_member(
            stored_hash(normal_address(rename.email))
        )

    def _is_member(self, member_hash: str) -> bool:
        try:
            self._gateway.send(calls.member_status(self._audience_id, member_hash))
        except NotFound:
            return False
        return True


def _refused(rename: Rename, refusal: PermanentError) -> Outcome:
    return Outcome(rename.old_email, Effect.RENAME_REFUSED, reason=Reason.REFUSED, words=refusal.words)


def rename_key(rename: Rename) -> str:
    """Return the key of the answer to one changed address; it does not tell whose."""
    return f"{answers.RENAMES}-{sha256(rename.old_hash.encode()).hexdigest()[:16]}"


def unanswered(renames: Iterable[Rename], answered: Container[str]) -> tuple[Rename, ...]:
    """Return the changed addresses that have no answer yet.

    :param answered: the keys of the answers of a run; release 0.1.0 kept all of them under one.
    """
    if answers.RENAMES in answered:
        return ()
    return tuple(rename for rename in renames if rename_key(rename) not in answered)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Whom nothing is sent of in a run: who opted out, or may have either of two addresses in Mailchimp.

    Sent under the new address, they could become a second member; and who lost the tags under the old one would not
    be renamed any more.
    """

    old: frozenset[str]
    new: frozenset[str]

    @classmethod
    def from_renames(cls, renames: Iterable[Rename]) -> HeldBack:
        """Hold back whose addresses were not changed, as far as is known."""
        renames = tuple(renames)
        return cls(
            old=frozenset(rename.old_email for rename in renames),
            new=frozenset(rename.email for rename in renames),
        )

    def without(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Yield chunks of who is sent without these people; a chunk of nobody else is left out."""
        if not self.new:
            yield from chunks
            return
        for chunk in chunks:
            members = tuple(member for member in chunk.members if member.email not in self.new)
            if members:
                yield replace(chunk, members=members)

    def without_leaving(self, chunks: Iterable[RemovalChunk]) -> Iterator[RemovalChunk]:
        """Yield chunks of who leaves without these people; a chunk of nobody else is left out."""
        for chunk in chunks:
            emails = tuple(email for email in chunk.emails if email not in self.old and email not in self.new)
            if emails:
                yield replace(chunk, emails=emails)
