"""``POST /lists/{list_id}``: up to 500 members in one call, answered with 200 even if none was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.choices import MissingStatus, OnPost
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.member_schema import WRITABLE, breaks_schema, schema_errors
from airflow_mailchimp_export.sandbox.problems import BAD_REQUEST, INVALID_RESOURCE, FieldError, Refused
from airflow_mailchimp_export.sandbox.reading import BLANK, check_kinds, kind_of, switched_on, to_object
from airflow_mailchimp_export.sandbox.refusals import (
    EXISTS_IN_BULK,
    TWICE,
    Code,
    Refusal,
    field_refusal,
    refuse_address,
    settle_status,
)
from airflow_mailchimp_export.sandbox.render import MEMBER_FIELDS, MemberView
from airflow_mailchimp_export.sandbox.state import Audience, Member, digest_of
from airflow_mailchimp_export.sandbox.views import WHOLE, Projection, Shape
from airflow_mailchimp_export.sandbox.writing import Draft, MemberWriter, refuse_tag_names

MAX_MEMBERS = 500
"""https://mailchimp.com/developer/marketing/api/lists/batch-subscribe-or-unsubscribe/"""

SHAPE: Shape = {
    "new_members": MEMBER_FIELDS,
    "updated_members": MEMBER_FIELDS,
    "errors": frozenset({"email_address", "error", "error_code", "field", "field_message"}),
    "total_created": None,
    "total_updated": None,
    "error_count": None,
    "_links": None,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What the call asks for."""

    rows: list[Any]
    update_existing: bool
    sync_tags: bool
    skip_duplicate_check: bool
    skip_merge_validation: bool


def batch_subscribe(account: Account, call: Call) -> Answer:
    """Add and update members, each on its own."""
    audience, view = account.audience(call), bulk_view(account, call)
    order = to_order(account, call)
    intake = Intake(account, audience, order, call.caller)
    for row in order.rows:
        intake.take(row)
    account.meter.rows_handled += len(order.rows)
    return Answer(intake.to_json(view))


def bulk_view(account: Account, call: Call) -> Projection:
    """Whether ``fields`` counts on a bulk POST is not documented: a setting decides."""
    rule = account.settings.fields_on_post
    if rule is OnPost.REFUSE and call.view is not WHOLE:
        raise Refused(BAD_REQUEST.saying("The fields parameter is not supported by this endpoint."))
    return call.view if rule is OnPost.HONOUR else WHOLE


def to_order(account: Account, call: Call) -> Order:
    """Check the whole call against its schema, before anything is written."""
    body = to_object(call)
    errors = check_kinds(body, {"members": list, "update_existing": bool, "sync_tags": bool})
    if not errors and "members" not in body:
        errors = [FieldError("members", BLANK)]
    rows = body.get("members", [])
    if not errors:
        errors = _row_errors(account, rows)
    if errors:
        raise Refused(INVALID_RESOURCE.about(*errors))
    return Order(
        rows=rows,
        update_existing=body.get("update_existing", False),
        sync_tags=body.get("sync_tags", False),
        skip_duplicate_check=switched_on(call.query, "skip_duplicate_check"),
        skip_merge_validation=switched_on(call.query, "skip_merge_validation"),
    )


def _row_errors(account: Account, rows: list[Any]) -> list[FieldError]:
    if len(rows) > MAX_MEMBERS:
        return [FieldError("members", f"This collection should contain {MAX_MEMBERS} elements or less.")]
    errors = []
    for place, row in enumerate(rows):
        if breaks_schema(row):
            errors += _errors_of(row, f"members.item:{place}")
    if account.settings.missing_status is MissingStatus.REFUSE:
        places = [place for place, row in enumerate(rows) if isinstance(row, dict) and not row.get("status")]
        errors += [FieldError(f"members.item:{place}.status", BLANK) for place in places]
    return errors


def _errors_of(row: Any, name: str) -> list[FieldError]:
    if not isinstance(row, dict):
        return [FieldError(name, f"Schema describes object, {kind_of(row)} found instead")]
    return schema_errors(row, f"{name}.")


@dataclass(slots=True, eq=False)
class Person:
    """One row of the call, and who is meant."""

    row: Mapping[str, Any]
    email: str
    digest: bytes
    member: Member | None = None

    @property
    def new(self) -> bool:
        """Whether this person joins; who was archived joins again."""
        return self.member is None or self.member.status is Status.ARCHIVED


class Intake:
    """Takes the members of one call, one after the other."""

    def __init__(self, account: Account, audience: Audience, order: Order, caller: str) -> None:
        self._account, self._audience, self._order = account, audience, order
        self._writer = MemberWriter(
            account, audience, caller=caller, check_required=not order.skip_merge_validation
        )
        self._settings = account.settings
        self._meter = account.meter if account.settings.count_distinct else None
        self._met: set[bytes] = set()
        self.created: list[Member] = []
        self.updated: list[Member] = []
        self.errors: list[dict[str, Any]] = []

    def take(self, row: Mapping[str, Any]) -> None:
        """Add, update or refuse one person."""
        email = row.get("email_address", "").strip()
        person = Person(row, email, digest_of(email))
        person.member = self._audience.by_digest.get(person.digest)
        if self._meter:
            self._meter.address(person.member.digest if person.member else person.digest)
        refusal: Refusal | None
        if person.digest not in self._met:
            self._met.add(person.digest)
            refusal = self._admit(person)
        elif self._order.skip_duplicate_check:
            refusal = None
        else:
            refusal = Refusal(TWICE.format(email=email))
        if refusal:
            self.errors.append(refusal.to_json(email))

    def to_json(self, view: Projection) -> dict[str, Any]:
        """The answer, built only as far as it is wanted."""
        members = {"new_members": self.created, "updated_members": self.updated}
        content: dict[str, Any] = {}
        for name, found in members.items():
            below = view.sub(name)
            if below:
                shown = MemberView(self._account, self._audience, below)
                content[name] = [shown.render(member) for member in found]
        rest = {
            "errors": self.errors,
            "total_created": len(self.created),
            "total_updated": len(self.updated),
            "error_count": len(self.errors),
            "_links": links(self._account.api_url, f"/lists/{self._audience.audience_id}", "Lists"),
        }
        content |= view.apply(rest)
        return content

    def _admit(self, person: Person) -> Refusal | None:
        refusal = refuse_address(self._account, self._audience, email=person.email, digest=person.digest)
        if refusal:
            return refusal
        if not person.new and not self._order.update_existing:
            return Refusal(EXISTS_IN_BULK.format(email=person.email), code=Code.CONTACT_EXISTS)
        status = self._status(person)
        if isinstance(status, Refusal):
            return status
        refusal = refuse_tag_names(person.row["tags"]) if "tags" in person.row else None
        draft = refusal or self._writer.draft(person.row, person.member)
        if isinstance(draft, Refusal):
            return draft
        self._write(person, status, draft)
        return None

    def _status(self, person: Person) -> Status | Refusal:
        word = person.row.get("status")
        if word is None and person.new and self._settings.status_if_new_on_post:
            word = person.row.get("status_if_new")
        if word is None:
            return field_refusal("status", BLANK) if person.new or not person.member else person.member.status
        wanted = WRITABLE[word]
        return settle_status(self._account, person.member, wanted) if person.member else wanted

    def _write(self, person: Person, status: Status, draft: Draft) -> None:
        new, member = person.new, person.member
        if member is None:
            member = self._writer.create(person.email, person.digest, status=status, draft=draft)
        else:
            self._writer.update(member, status, draft)
        (self.created if new else self.updated).append(member)
        replace = self._order.sync_tags and self._order.update_existing and not new
        if self._settings.tags_on_post and (replace or person.row.get("tags")):
            self._writer.tag(member, person.row.get("tags", []), replace=replace)
