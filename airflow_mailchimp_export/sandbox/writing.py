"""Writes members: the rules that bulk calls and calls for one member share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.columns import Status
from airflow_mailchimp_export.sandbox.merge_fields import Value
from airflow_mailchimp_export.sandbox.moments import from_iso
from airflow_mailchimp_export.sandbox.problems import FieldError
from airflow_mailchimp_export.sandbox.reading import TAG_LENGTH
from airflow_mailchimp_export.sandbox.refusals import BAD_INTEREST, Refusal, field_refusal, merge_refusal
from airflow_mailchimp_export.sandbox.state import NO_EXTRAS, NO_TAGS, Audience, Member

NOT_VALID = "This value is not valid."
_EXTRA_NAMES = frozenset(
    {
        "email_type",
        "language",
        "vip",
        "location",
        "interests",
        "ip_signup",
        "ip_opt",
        "timestamp_signup",
    }
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a member will hold, once it is written."""

    values: tuple[Value, ...]
    extras: Mapping[str, Any]
    opted: int = 0
    """The moment of consent, if one is sent."""


class MemberWriter:
    """Writes into one audience for one call."""

    def __init__(self, account: Account, audience: Audience, *, caller: str, check_required: bool) -> None:
        self._account, self._audience, self._now = account, audience, account.now()
        self._check_required = check_required
        self._from_here: Mapping[str, Any] = {"ip_opt": caller}
        self._tag_maps: dict[
            tuple[tuple[str, ...], int, bool], tuple[Mapping[int, int], Mapping[int, int]]
        ] = {}

    def draft(self, row: Mapping[str, Any], member: Member | None) -> Draft | Refusal:
        """Merge what is sent with what is there, and check it."""
        plan = self._audience.plan
        old = member.values if member else plan.blank
        values, errors = plan.merge(old, row.get("merge_fields", {}), check_required=self._check_required)
        if errors:
            return merge_refusal(self._account, errors)
        extras = member.extras if member else NO_EXTRAS
        if not _EXTRA_NAMES.isdisjoint(row):
            changed = self._extras(row, extras)
            if isinstance(changed, Refusal):
                return changed
            extras = changed
        try:
            return Draft(values, extras, from_iso(row["timestamp_opt"]) if row.get("timestamp_opt") else 0)
        except ValueError:
            return field_refusal("timestamp_opt", NOT_VALID)

    def create(self, email: str, digest: bytes, *, status: Status, draft: Draft) -> Member:
        """A new person on the list."""
        opted = draft.opted or (0 if status is Status.PENDING else self._now)
        extras = draft.extras or self._from_here
        member = Member(
            seq=len(self._audience.members),
            email=email,
            digest=digest,
            status=status,
            values=draft.values,
            tags=NO_TAGS,
            changed=self._now,
            opted=opted,
            extras=extras if "ip_opt" in extras else {**extras, **self._from_here},
        )
        self._audience.add(member)
        return member

    def update(self, member: Member, status: Status, draft: Draft) -> None:
        """Change what differs; a member that stays as it was keeps its ``last_changed``."""
        joins = status is Status.SUBSCRIBED and member.status is not status
        opted = draft.opted or (self._now if joins else member.opted)
        as_before = member.values == draft.values and member.extras == draft.extras and member.opted == opted
        if as_before and member.status is status:
            return
        member.values, member.extras, member.opted = draft.values, draft.extras, opted
        member.compliance = member.compliance and not joins
        self._audience.set_status(member, status, self._now)

    def tag(self, member: Member, names: Sequence[str], *, replace: bool = False) -> None:
        """Add tags by their names, or replace all that there are."""
        tags = self._tagged(names, member.tags, replace=replace)
        if tags.keys() == member.tags.keys():
            return
        member.changed = self._now
        for tag_id in tags.keys() ^ member.tags.keys():
            self._audience.tags[tag_id].updated = self._now
        self._audience.set_tags(member, tags)

    def _tagged(self, names: Sequence[str], old: Mapping[int, int], *, replace: bool) -> Mapping[int, int]:
        key = (tuple(names), id(old), replace)
        kept = self._tag_maps.get(key)
        if kept is None:
            found = (self._audience.tag_named(name, self._now).tag_id for name in names)
            wanted = {tag_id: old.get(tag_id, self._now) for tag_id in found}
            # The old tags are kept beside the answer, so that their id is not used again.
            kept = self._tag_maps[key] = (old, wanted if replace else {**old, **wanted})
        return kept[1]

    def _extras(self, row: Mapping[str, Any], old: Mapping[str, Any]) -> Mapping[str, Any] | Refusal:
        extras = {**old, **{name: row[name] for name in ("email_type", "language", "vip") if name in row}}
        for name in ("ip_signup", "ip_opt", "timestamp_signup"):
            if row.get(name):
                try:
                    extras[name] = from_iso(row[name]) if name[0] == "t" else str(ip_address(row[name]))
                except ValueError:
                    return field_refusal(name, NOT_VALID)
        if "location" in row:
            extras["location"] = {**old.get("location", {}), **row["location"]}
        if "interests" in row:
            unknown = row["interests"].keys() - set(self._audience.interest_ids)
            if unknown:
                return Refusal(BAD_INTEREST.format(interest=min(unknown)))
            extras["interests"] = {**old.get("interests", {}), **row["interests"]}
        return extras


def refuse_tag_names(names: Sequence[str]) -> Refusal | None:
    """Names that no tag can have."""
    if all(name.strip() and len(name) <= TAG_LENGTH for name in names):
        return None
    return Refusal(
        "The name of a tag is empty or too long.",
        errors=(FieldError("tags", f"A tag's name has 1 to {TAG_LENGTH} characters."),),
    )
