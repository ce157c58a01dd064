"""``GET /lists/{list_id}/members``: pages of members, filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from airflow_mailchimp_export.sandbox.account import Account
from airflow_mailchimp_export.sandbox.calls import Answer, Call
from airflow_mailchimp_export.sandbox.columns import BY_WORD, LISTED, Status
from airflow_mailchimp_export.sandbox.links import links
from airflow_mailchimp_export.sandbox.problems import BAD_REQUEST, Refused
from airflow_mailchimp_export.sandbox.reading import (
    require_choice,
    switched_on,
    to_moment,
    to_page,
)
from airflow_mailchimp_export.sandbox.render import MemberView
from airflow_mailchimp_export.sandbox.state import MATCHES_KEPT, Audience, Member

Condition: TypeAlias = Callable[[Member], bool]

SORTS: Mapping[str, Callable[[Member], int]] = {
    "timestamp_opt": lambda member: member.opted,
    "timestamp_signup": lambda member: member.extras.get("timestamp_signup", 0),
    "last_changed": lambda member: member.changed,
}
_FILTERS = (
    "email_type",
    "since_timestamp_opt",
    "before_timestamp_opt",
    "since_last_changed",
    "before_last_changed",
    "unsubscribed_since",
    "unique_email_id",
    "vip_only",
    "interest_category_id",
    "interest_ids",
    "interest_match",
    "sort_field",
    "sort_dir",
)


def get_members(account: Account, call: Call) -> Answer:
    """One page of the members."""
    audience, page = account.audience(call), to_page(call.query)
    statuses = _statuses(account, call.query)
    key = (statuses, *(call.query.get(name, "") for name in _FILTERS))
    if any(key[1:]):
        found = _matching(audience, statuses, call.query, key)
        places, total = page.of(found), len(found)
    else:
        places = audience.statuses.select(statuses, page.offset, page.count)
        total = audience.statuses.count(statuses)
    return member_page(account, audience, call, places=places, total=total)


def member_page(
    account: Account, audience: Audience, call: Call, *, places: Sequence[int], total: int
) -> Answer:
    """A collection of members, built only as far as it is wanted."""
    below = call.view.sub("members")
    content: dict[str, Any] = {}
    if below:
        shown = MemberView(account, audience, below)
        content["members"] = [shown.render(audience.members[place]) for place in places]
    rest = {
        "list_id": audience.audience_id,
        "total_items": total,
        "_links": links(account.api_url, call.path, "Lists/Members"),
    }
    return Answer(content | call.view.apply(rest), total_items=total)


def _statuses(account: Account, query: Mapping[str, str]) -> frozenset[Status]:
    require_choice(query, "status", list(BY_WORD))
    word = query.get("status")
    if "unsubscribed_since" in query and word != Status.UNSUBSCRIBED.word:
        raise Refused(BAD_REQUEST.saying("unsubscribed_since can only be used with the unsubscribed status."))
    if switched_on(query, "since_last_campaign") and word is None:
        raise Refused(BAD_REQUEST.saying("A status is required to use since_last_campaign."))
    if word is not None:
        return frozenset({BY_WORD[word]})
    return frozenset(Status) if account.settings.unfiltered_archived else LISTED


def _matching(
    audience: Audience, statuses: frozenset[Status], query: Mapping[str, str], key: tuple[Any, ...]
) -> list[int]:
    kept = audience.matches.get(key)
    if kept and kept[0] == audience.version:
        return kept[1]
    found = _scan(audience, statuses, query)
    audience.matches[key] = (audience.version, found)
    audience.matches.move_to_end(key)
    if len(audience.matches) > MATCHES_KEPT:
        audience.matches.popitem(last=False)
    return found


def _scan(audience: Audience, statuses: frozenset[Status], query: Mapping[str, str]) -> list[int]:
    conditions = [*_moments(query), *_marks(query), *_interests(audience, query)]
    require_choice(query, "sort_field", list(SORTS))
    require_choice(query, "sort_dir", ["ASC", "DESC"])
    members = (audience.members[place] for place in audience.statuses.select(statuses))
    found = [member for member in members if all(holds(member) for holds in conditions)]
    if "sort_field" in query:
        found.sort(key=SORTS[query["sort_field"]], reverse=query.get("sort_dir") == "DESC")
    return [member.seq for member in found]


def _moments(query: Mapping[str, str]) -> list[Condition]:
    conditions: list[Condition] = []
    for name, get in (("timestamp_opt", SORTS["timestamp_opt"]), ("last_changed", SORTS["last_changed"])):
        since, before = to_moment(query, f"since_{name}"), to_moment(query, f"before_{name}")
        if since is not None:
            conditions.append(lambda member, get=get, since=since: get(member) > since)  # type: ignore[misc]  # bound now
        if before is not None:
            conditions.append(lambda member, get=get, before=before: get(member) < before)  # type: ignore[misc]  # bound now
    left = to_moment(query, "unsubscribed_since")
    if left is not None:
        conditions.append(lambda member: member.left > left)
    return conditions


def _marks(query: Mapping[str, str]) -> list[Condition]:
    conditions: list[Condition] = []
    if kind := query.get("email_type"):
        conditions.append(lambda member: member.extras.get("email_type", "html") == kind)
    if unique := query.get("unique_email_id"):
        conditions.append(lambda member: member.digest[8:13].hex() == unique)
    if switched_on(query, "vip_only"):
        conditions.append(lambda member: member.extras.get("vip", False))
    return conditions


def _interests(audience: Audience, query: Mapping[str, str]) -> list[Condition]:
    given = [name for name in ("interest_category_id", "interest_ids", "interest_match") if query.get(name)]
    if not given:
        return []
    if len(given) < 3 or query["interest_category_id"] not in audience.categories:
        raise Refused(BAD_REQUEST.saying("Filtering by interests needs a category, ids and a match."))
    require_choice(query, "interest_match", ["any", "all", "none"])
    wanted, match = set(query["interest_ids"].split(",")), query["interest_match"]

    def holds(member: Member) -> bool:
        chosen = {one for one, on in member.extras.get("interests", {}).items() if on}
        return {"any": bool(wanted & chosen), "all": wanted <= chosen, "none": not wanted & chosen}[match]

    return [holds]
