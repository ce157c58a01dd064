"""Calls for one member."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.columns import BY_WORD, Status
from airflow_mailchimp_export.sandbox.member_schema import WRITABLE, schema_errors
from airflow_mailchimp_export.sandbox.problems import (
    INVALID_RESOURCE,
    NOT_FOUND,
    FieldError,
    Problem,
    Refused,
    invalid,
)
from airflow_mailchimp_export.sandbox.reading import BLANK, switched_on, to_object
from airflow_mailchimp_export.sandbox.refusals import Refusal, exists, refuse_address, settle_status
from airflow_mailchimp_export.sandbox.render import MemberView, contact_prefix
from airflow_mailchimp_export.sandbox.state import Audience, Member, digest_of
from airflow_mailchimp_export.sandbox.writing import MemberWriter, refuse_tag_names

PATCHABLE = {word: status for word, status in WRITABLE.items() if status is not Status.TRANSACTIONAL}
UNARCHIVABLE = (Status.CLEANED, Status.PENDING, Status.ARCHIVED)
CANNOT_ARCHIVE = Problem(
    405,
    "Method Not Allowed",
    "This list member cannot be removed. Can not archive a contact that is bounced, pending or archived",
    allow=("GET", "PUT"),
    typed=False,
)


def find_member(audience: Audience, name: str, *, hash_only: bool = False) -> Member | None:
    """The member that a path names by hash, by address or by contact id."""
    if re.fullmatch(r"[0-9a-fA-F]{32}", name):
        found = audience.by_digest.get(bytes.fromhex(name))
        return found or (None if hash_only else _by_contact_id(audience, name))
    return audience.by_digest.get(digest_of(name)) if "@" in name and not hash_only else None


def known_member(audience: Audience, call: Call, *, hash_only: bool = False) -> Member:
    """The same, or 404."""
    member = find_member(audience, call.args["subscriber_hash"], hash_only=hash_only)
    if member is None:
        raise Refused(NOT_FOUND)
    return member


def _by_contact_id(audience: Audience, name: str) -> Member | None:
    prefix = contact_prefix(audience)
    seq = int(name[len(prefix) :], 16)
    known = name.startswith(prefix) and seq in audience.statuses
    return audience.members[seq] if known else None


class Desk:
    """Serves one call for one member."""

    def __init__(self, account: Account, call: Call) -> None:
        self._account, self._call = account, call
        self.audience = account.audience(call)
        self.body: dict[str, Any] = {}
        self._writer = MemberWriter(
            account,
            self.audience,
            caller=call.caller,
            check_required=not switched_on(call.query, "skip_merge_validation"),
        )

    def read(self, *required: str, statuses: Mapping[str, Status] = WRITABLE) -> None:
        """Read the body, which has to follow the schema."""
        self.body = to_object(self._call)
        errors = schema_errors(self.body, statuses=statuses)
        missing = [name for name in required if self.body.get(name) in (None, "")]
        named = {error.field for error in errors}
        errors += [FieldError(name, BLANK) for name in missing if name not in named]
        if errors:
            raise Refused(INVALID_RESOURCE.about(*errors))

    def find(self, email: str) -> Member | None:
        """Who has this address, after a check of the address itself."""
        digest = digest_of(email)
        _raise(refuse_address(self._account, self.audience, email=email, digest=digest))
        return self.audience.by_digest.get(digest)

    def write(self, email: str, member: Member | None) -> Member:
        """Make or change the member as the body says."""
        status = self._status(member)
        _raise(refuse_tag_names(self.body.get("tags", [])))
        draft = self._writer.draft(self.body, member)
        if isinstance(draft, Refusal):
            raise Refused(draft.to_problem())
        if member is None:
            return self._writer.create(email, digest_of(email), status=status, draft=draft)
        if digest_of(email) != member.digest:
            self.audience.rename(member, email, self._account.now())
        self._writer.update(member, status, draft)
        return member

    def tag(self, member: Member) -> None:
        """Add the tags of the body."""
        self._writer.tag(member, self.body.get("tags", []))

    def answer(self, member: Member) -> Answer:
        """Show the member."""
        return Answer(MemberView(self._account, self.audience, self._call.view).render(member))

    def _status(self, member: Member | None) -> Status:
        named, if_new = self.body.get("status"), self.body.get("status_if_new")
        if member is None:
            first = if_new or named
            if not first:
                raise invalid("status_if_new", BLANK)
            return BY_WORD[first]
        word = named or (if_new if member.status is Status.ARCHIVED else None)
        if not word:
            return member.status
        status = settle_status(self._account, member, BY_WORD[word])
        if isinstance(status, Refusal):
            raise Refused(status.to_problem())
        return status


def get_member(account: Account, call: Call) -> Answer:
    """One member; archived ones are shown too."""
    desk = Desk(account, call)
    return desk.answer(known_member(desk.audience, call))


def post_member(account: Account, call: Call) -> Answer:
    """A new member; who is there already is refused."""
    desk = Desk(account, call)
    desk.read("email_address", "status")
    email = desk.body["email_address"].strip()
    member = desk.find(email)
    if member and member.status is not Status.ARCHIVED:
        raise Refused(exists(email).to_problem())
    member = desk.write(email, member)
    desk.tag(member)
    return desk.answer(member)


def put_member(account: Account, call: Call) -> Answer:
    """Add or update: whom is decided by the path, and only then by the body."""
    desk = Desk(account, call)
    desk.read()
    member = find_member(desk.audience, call.args["subscriber_hash"])
    email = desk.body.get("email_address", member.email if member else "").strip()
    if not email:
        raise invalid("email_address", BLANK)
    namesake = desk.find(email)
    if namesake and namesake is not member:
        if member or namesake.status is not Status.ARCHIVED:
            raise Refused(exists(email).to_problem())
        member = namesake
    written = desk.write(email, member)
    if member is None:
        # Sent with a member that exists, tags are ignored here.
        desk.tag(written)
    return desk.answer(written)


def patch_member(account: Account, call: Call) -> Answer:
    """Update a member that exists."""
    desk = Desk(account, call)
    member = known_member(desk.audience, call)
    desk.read(statuses=PATCHABLE)
    email = desk.body.get("email_address", member.email).strip()
    if digest_of(email) != member.digest and desk.find(email):
        raise Refused(exists(email).to_problem())
    return desk.answer(desk.write(email, member))


def archive_member(account: Account, call: Call) -> Answer:
    """Archive a member, whose data stay."""
    audience = account.audience(call)
    member = known_member(audience, call)
    if member.status in UNARCHIVABLE:
        raise Refused(CANNOT_ARCHIVE)
    audience.set_status(member, Status.ARCHIVED, account.now())
    return Answer()


def delete_permanently(account: Account, call: Call) -> Answer:
    """Erase a person, who can never be imported again."""
    audience = account.audience(call)
    audience.forget(known_member(audience, call, hash_only=True))
    return Answer()


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        raise Refused(refusal.to_problem())
